/**
 * Randomness that can be had again: the seed is printed, and taken from `SEED` where that is set.
 */
import { randomInt } from "node:crypto"

/** Numbers from 0 to 1, always the same for one seed (mulberry32). */
export const generator = (seed: number) => {
  let state = seed
  return (): number => {
    state = (state + 0x6d2b79f5) | 0
    let bits = Math.imul(state ^ (state >>> 15), 1 | state)
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32
  }
}

/** A generator from the seed of this run. */
export const seeded = () => {
  const seed = process.env["SEED"] === undefined ? randomInt(2 ** 31) : Number(process.env["SEED"])
  process.stderr.write(`SEED=${seed}\n`)
  return { seed, random: generator(seed) }
}
