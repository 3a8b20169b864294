/**
 * Random scripts: what a feature wants done, and what comes from outside. A story's simulation and the live store follow
 * the same script, and must agree.
 */
import { Arbitrary, Schema } from "effect"

/** What a feature may want done, and what that leads to, without the names. */
export type Plan =
  | { readonly do: "nothing" | "cancelAll" | "publish" | "refuse" }
  | { readonly do: "cancel"; readonly id: number }
  | { readonly do: "append"; readonly reaction: Plan }
  | { readonly do: "send" | "run"; readonly next: Plan }
  | { readonly do: "delay" | "throttle"; readonly id: number; readonly millis: number; readonly next: Plan }
  | { readonly do: "perform" | "subscribe"; readonly id: number; readonly next: Plan; readonly otherwise: Plan }
  | { readonly do: "all" | "sequential"; readonly plans: ReadonlyArray<Plan> }
  | { readonly do: "parallel"; readonly most: number; readonly plans: ReadonlyArray<Plan> }

/** What comes from outside: an action, the end of something under way, a value of a source, time. */
export type Step =
  | { readonly step: "send"; readonly part: number; readonly plan: Plan }
  | { readonly step: "close" }
  | { readonly step: "end" | "fail" | "die" | "value"; readonly index: number }
  | { readonly step: "advance"; readonly millis: number }

/**
 * Who wants it: a reducer, an aggregate that decides a command, an aggregate that reacts to an event. Only decisions
 * append, only reactions cannot refuse, only reducers may run what is not data.
 */
type Voice = "reducer" | "decision" | "reaction"

/**
 * Where a plan stands: on its own, in a sequence, or among several at once. Members of such groups leave each other alone
 * while they begin: what becomes of a group that its own beginning ends is not compared here.
 */
type Place = "alone" | "in a sequence" | "at once"

/** The id of what nothing else has the id of. */
export const lone = -1

/** A choice that follows from a seed; schemas alone make plans too shallow for groups within groups. */
class Chance {
  #seed: number
  constructor(seed: number) {
    this.#seed = seed
  }
  /** From 0 up to, without, `bound`: the mulberry32 generator. */
  below(bound: number): number {
    this.#seed = (this.#seed + 0x6d2b79f5) | 0
    let t = Math.imul(this.#seed ^ (this.#seed >>> 15), 1 | this.#seed)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * bound)
  }
  of<A>(...choices: readonly [A, ...ReadonlyArray<A>]): A {
    return choices[this.below(choices.length)]!
  }
}

const anyCancel = (chance: Chance): Plan =>
  chance.below(4) === 0 ? { do: "cancelAll" } : { do: "cancel", id: 1 + chance.below(2) }

const anyPlan = (chance: Chance, voice: Voice, depth: number, place: Place = "alone"): Plan => {
  const within = place === "at once"
  const next = () => anyPlan(chance, voice === "reducer" ? voice : "decision", depth - 1)
  const several = (at: Place) =>
    Array.from({ length: 2 + chance.below(3) }, () => anyPlan(chance, voice, depth - 1, at))
  const sequence = within ? place : "in a sequence"
  const cancel = () => anyCancel(chance)
  if (depth === 0) return within || chance.below(4) > 0 ? { do: "publish" } : cancel()
  // Without events a decision is an exception.
  if (voice === "decision" && chance.below(3) > 0) {
    return { do: "append", reaction: anyPlan(chance, "reaction", depth - 1) }
  }
  const choice = within ? 7 + chance.below(11) : chance.below(18)
  switch (choice) {
    case 0:
      // One anywhere refuses the whole, so they are rare.
      return { do: chance.of("nothing", "publish", "nothing", voice === "reaction" ? "publish" : "refuse") }
    case 1:
      return cancel()
    case 2:
    case 3:
      return { do: "send", next: next() }
    case 4:
    case 5:
    case 6:
      return { do: "throttle", id: chance.below(3), millis: chance.of(1, 2, 3, 5), next: next() }
    case 7:
      return voice === "reducer" ? { do: "run", next: next() } : { do: "publish" }
    case 8:
      return { do: "delay", id: within ? lone : chance.below(3), millis: chance.of(1, 2, 3, 5), next: next() }
    case 9:
    case 10:
    case 11:
      return { do: "perform", id: within ? lone : chance.below(3), next: next(), otherwise: next() }
    case 12:
    case 13:
      return { do: "subscribe", id: within ? lone : chance.below(3), next: next(), otherwise: next() }
    case 14:
    case 15:
      return { do: "sequential", plans: several(sequence) }
    case 16:
      return { do: "all", plans: several(place === "alone" ? place : "at once") }
    default: {
      const most = 1 + chance.below(2)
      return { do: "parallel", most, plans: several(most > 1 ? "at once" : sequence) }
    }
  }
}

const stepOf = (seed: number, voice: Voice, depth: number): Step => {
  const chance = new Chance(seed)
  switch (chance.below(20)) {
    case 0:
      return { step: "close" }
    case 1:
    case 2:
      return { step: "value", index: chance.below(4) }
    case 3:
    case 4:
    case 5:
    case 6:
    case 7:
      return { step: "end", index: chance.below(4) }
    case 8:
      return { step: "fail", index: chance.below(4) }
    case 9:
      return { step: "die", index: chance.below(4) }
    case 10:
    case 11:
      return { step: "advance", millis: chance.of(1, 2, 4, 7) }
    case 12:
    case 13:
      return { step: "send", part: chance.below(5), plan: anyCancel(chance) }
    default:
      return { step: "send", part: chance.below(5), plan: anyPlan(chance, voice, depth) }
  }
}

const Length = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 30 }))
const Depth = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 5 }))

/** Scripts of what a reducer wants done, or an aggregate. */
export const scripts = (voice: "reducer" | "decision"): Arbitrary.Arbitrary<ReadonlyArray<Step>> =>
  Arbitrary.map(
    Arbitrary.schema(Schema.Struct({ seed: Schema.Int, length: Length, depth: Depth })),
    ({ depth, length, seed }) => Array.from({ length }, (_, index) => stepOf(seed * 31 + index * 7919, voice, depth))
  )
