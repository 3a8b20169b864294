/**
 * UUIDv7 (RFC 9562): 48 bits of time, then randomness, so that ids made later sort later and an index on them grows at
 * its end.
 *
 * Effect's generator asks the system for random bytes at every id, which was half the cost of a command in memory; this
 * one asks once for many.
 */
declare const crypto: { readonly getRandomValues: (bytes: Uint8Array) => Uint8Array }

const size = 16
const pool = new Uint8Array(size * 512)
let used = pool.length

const hex = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"))

const randomHex = (from: number, to: number): string => {
  let text = ""
  for (let i = from; i < to; i++) text += hex[pool[used + i]!]!
  return text
}

/** A fresh id of an event or a command, for something that happened at this time, in milliseconds since the Unix epoch. */
export const make = (time: number): string => {
  if (used === pool.length) {
    crypto.getRandomValues(pool)
    used = 0
  }
  const stamp = time.toString(16).padStart(12, "0")
  const version = 0x70 | (pool[used + 6]! & 0x0f)
  const variant = 0x80 | (pool[used + 8]! & 0x3f)
  const id = `${stamp.slice(0, 8)}-${stamp.slice(8, 12)}-${hex[version]!}${randomHex(7, 8)}-${hex[variant]!}` +
    `${randomHex(9, 10)}-${randomHex(10, 16)}`
  used += size
  return id
}
