/**
 * JSON that has broken stores: generated, the same for the same seed.
 */
import type { Schema } from "effect"

/** Numbers in [0, 1), the same for the same seed (mulberry32). */
export const random = (seed: number): () => number => {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Texts that some layer between here and the disk might take for something else. */
export const texts: ReadonlyArray<string> = [
  "",
  "\0",
  "a\0b",
  "\\u0000",
  "\ud800",
  "\udc00\ud800",
  "😀",
  "e\u0301",
  "é",
  "\u2028\u2029",
  "\u202eright to left",
  "\ufeffmark",
  "\u007f\u001b[0m",
  "'; DROP TABLE events; --",
  "$1",
  "$$",
  "%s%",
  "\\",
  "\"",
  "{1,NULL}",
  "NULL",
  "null",
  "\\N",
  "__proto__",
  "constructor",
  "prototype",
  "toJSON",
  "toString",
  "0",
  "-1",
  " trailing "
]

const numbers: ReadonlyArray<number> = [
  0,
  1,
  -1,
  0.1,
  1e21,
  1e-7,
  1e308,
  -1e308,
  5e-324,
  2 ** 31,
  2 ** 53 - 1,
  2 ** 53,
  2 ** 63,
  1.7976931348623157e308,
  123456789.12345679
]

/** Any JSON of at most this depth. */
export const any = (random: () => number, depth: number): Schema.Json => {
  const below = (bound: number) => Math.floor(random() * bound)
  const text = () => texts[below(texts.length)]! + (random() < 0.2 ? String.fromCharCode(below(0x10000)) : "")
  const kind = below(depth === 0 ? 4 : 6)
  switch (kind) {
    case 0:
      return [null, true, false][below(3)]!
    case 1:
      return numbers[below(numbers.length)]!
    case 2:
      return (random() - 0.5) * 10 ** below(300)
    case 3:
      return text()
    case 4:
      return Array.from({ length: below(4) }, () => any(random, depth - 1))
    default:
      // An object's own "__proto__" can only be had this way, which is how JSON.parse makes it.
      return Object.fromEntries(Array.from({ length: below(5) }, () => [text(), any(random, depth - 1)]))
  }
}

/** A list in a list in a list. */
export const nested = (depth: number): Schema.Json => {
  let value: Schema.Json = depth
  for (let i = 0; i < depth; i++) value = [value]
  return value
}
