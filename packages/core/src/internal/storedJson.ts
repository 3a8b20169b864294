/**
 * What a store in memory keeps of a value, so that it behaves like one that writes JSON to a disk.
 */
import type * as Schema from "effect/Schema"

/** What JSON makes of a value, frozen, so that nobody can change what was stored. Throws when JSON cannot write it. */
export const storedJson = <J extends Schema.Json>(value: J): J => freeze(JSON.parse(JSON.stringify(value)) as J)

const freeze = <J extends Schema.Json>(value: J): J => {
  if (typeof value === "object" && value !== null) {
    for (const member of Object.values(value)) freeze(member)
    Object.freeze(value)
  }
  return value
}
