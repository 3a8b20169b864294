/**
 * How a provider fails: at random with given probabilities, the same way for the same seed.
 */
import { Schema } from "effect"

const Probability = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 }))

/** What goes wrong, by its probability. What is left over goes well. */
export const Script = Schema.Struct({
  seed: Schema.Int,
  /** 503, and nothing was done. */
  unavailable: Probability,
  /** 500, although it was done. */
  failsAfterwards: Probability,
  /** The connection is reset, and nothing was done. */
  resetBefore: Probability,
  /** The connection is reset, although it was done. */
  resetAfter: Probability,
  /** Done late, after the client gave up, and answered then. */
  late: Probability,
  /** Never answered, and nothing is done. */
  stalls: Probability,
  /** How late is late, in milliseconds. */
  lateness: Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
}).check(
  Schema.makeFilter((script) => total(script) <= 1 + 1e-9 || "Expected probabilities that add up to 1 at the most")
)

/** What goes wrong, by its probability. What is left over goes well. */
export interface Script {
  readonly seed: number
  readonly unavailable: number
  readonly failsAfterwards: number
  readonly resetBefore: number
  readonly resetAfter: number
  readonly late: number
  readonly stalls: number
  readonly lateness: number
}

/** The ways to fail. */
export const faults = ["unavailable", "failsAfterwards", "resetBefore", "resetAfter", "late", "stalls"] as const

/** A way to fail, or none. */
export type Fault = (typeof faults)[number] | "none"

const total = (script: Script): number => faults.reduce((sum, fault) => sum + script[fault], 0)

/** Nothing goes wrong. */
export const reliable: Script = {
  seed: 1,
  unavailable: 0,
  failsAfterwards: 0,
  resetBefore: 0,
  resetAfter: 0,
  late: 0,
  stalls: 0,
  lateness: 0
}

/** Each way to fail is equally likely, with this probability altogether. `lateness` in milliseconds. */
export const unreliable = (seed: number, probability: number, lateness: number): Script => {
  const each = probability / faults.length
  return {
    seed,
    unavailable: each,
    failsAfterwards: each,
    resetBefore: each,
    resetAfter: each,
    late: each,
    stalls: each,
    lateness
  }
}

/** Draws the fault of one request after the other. */
export const drawing = (script: Script): () => Fault => {
  let state = script.seed >>> 0
  /** Mulberry32: a number from 0 to 1, the next of a sequence that the seed determines. */
  const random = (): number => {
    state = (state + 0x6D2B79F5) >>> 0
    let bits = Math.imul(state ^ (state >>> 15), state | 1)
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61)
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32
  }
  return () => {
    let left = random()
    for (const fault of faults) {
      if (left < script[fault]) return fault
      left -= script[fault]
    }
    return "none"
  }
}
