/**
 * A short digest of a command: equal for equal commands, and for others as good as never.
 */
import type * as Schema from "effect/Schema"

/** The JSON with the members of each object in one order. */
const canonical = (value: Schema.Json): string => {
  if (typeof value !== "object" || value === null) return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`
  const record = value as Schema.JsonObject
  return `{${
    Object.keys(record).toSorted().map((key) => `${JSON.stringify(key)}:${canonical(record[key]!)}`).join(",")
  }}`
}

/**
 * 128 bits of four FNV-like lanes, as hexadecimal digits. It guards against mistakes, not against forgery: whoever may
 * choose command ids can do worse.
 */
export const fingerprint = (command: Schema.Json): string => {
  const text = canonical(command)
  const lanes = [0x811c9dc5, 0x9e3779b9, 0x85ebca6b, 0xc2b2ae35]
  const factors = [0x01000193, 0x5bd1e995, 0xcc9e2d51, 0x1b873593]
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    for (let lane = 0; lane < lanes.length; lane++) {
      const mixed = Math.imul(lanes[lane]! ^ unit, factors[lane]!)
      lanes[lane] = mixed ^ (mixed >>> 15)
    }
  }
  return lanes.map((lane) => (lane >>> 0).toString(16).padStart(8, "0")).join("")
}
