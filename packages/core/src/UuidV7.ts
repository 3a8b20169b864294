/**
 * UUIDv7 (RFC 9562): 48 bits of time, then randomness, so that ids made later sort later and an index on them grows at
 * its end.
 *
 * Effect's generator asks the system for random bytes at every id, which was half the cost of a command in memory; this
 * one asks once for many, and writes them down together, so that an id is one piece of text put behind another.
 */
declare const crypto: { readonly getRandomValues: (bytes: Uint8Array) => Uint8Array }
declare const TextDecoder: new() => { readonly decode: (ascii: Uint8Array) => string }

/** How many ids' worth of randomness to make at once. */
const batch = 256

/** What stands behind the time: `7ddd-vddd-dddddddddddd`, in which v has two bits of its own. */
const size = 22
const randomBytes = 10

const random = new Uint8Array(batch * randomBytes)
const ascii = new Uint8Array(batch * size)
const decoder = new TextDecoder()
const digits = Uint8Array.from("0123456789abcdef", (digit) => digit.charCodeAt(0))
const dash = "-".charCodeAt(0)

let tails = ""
let used = 0

/** The random parts of a batch of ids, one behind the other. */
const makeTails = (): string => {
  crypto.getRandomValues(random)
  let to = 0
  for (let from = 0; from < random.length; from += randomBytes) {
    random[from] = 0x70 | (random[from]! & 0x0f)
    random[from + 2] = 0x80 | (random[from + 2]! & 0x3f)
    for (let i = 0; i < randomBytes; i++) {
      if (i === 2 || i === 4) ascii[to++] = dash
      const byte = random[from + i]!
      ascii[to++] = digits[byte >> 4]!
      ascii[to++] = digits[byte & 0x0f]!
    }
  }
  return decoder.decode(ascii)
}

let lastTime = Number.NaN
let lastHead = ""

/** `tttttttt-tttt-`; many ids are made in the same millisecond. */
const headOf = (time: number): string => {
  if (time === lastTime) return lastHead
  const stamp = time.toString(16).padStart(12, "0")
  lastTime = time
  return lastHead = `${stamp.slice(0, 8)}-${stamp.slice(8, 12)}-`
}

/** A fresh id of an event or a command, for something that happened at this time, in milliseconds since the Unix epoch. */
export const make = (time: number): string => {
  if (used === tails.length) {
    tails = makeTails()
    used = 0
  }
  const tail = tails.slice(used, used + size)
  used += size
  return headOf(time) + tail
}
