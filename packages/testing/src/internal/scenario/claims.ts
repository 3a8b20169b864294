/**
 * Whether an action came to what a story says of it.
 */
import * as Fx from "@composable-ts/core/Fx"
import { equal } from "../differences.ts"
import { mentioned, missing } from "./matching.ts"
import { type Complaint, sides, StoryBroken } from "./StoryBroken.ts"
import type { Reduction } from "./underWay.ts"
import { bullets, inline } from "./words.ts"

/** What a story says that an action comes to. */
export interface Claim {
  readonly state?: unknown
  readonly fx?: Fx.AnyFx
  readonly events?: ReadonlyArray<unknown>
  readonly rejected?: unknown
}

/** How claims are read: as all there is, or as what matters. */
export type Reading = "exact" | "partial"

/** What a story says of a step. */
export interface Said {
  /** The step in words: `send 2, Place`. */
  readonly step: string
  readonly claim: Claim
  readonly reading: Reading
}

/** Throws unless an action came to what is claimed. */
export const check = (reduction: Reduction, { claim, reading, step }: Said): void => {
  const { before, events, fx, refusal, state, unstorable } = reduction
  if ("rejected" in claim) {
    if (refusal === undefined) throw new StoryBroken(accepted(reduction, step, claim.rejected))
    return same(`the reason for refusing ${step}`, claim.rejected, refusal.reason, reading)
  }
  if (refusal !== undefined) {
    throw new StoryBroken({
      happened: `Expected ${step} to be accepted, but it was refused: ${inline(refusal.reason)}`,
      because: "the state does not allow it yet, or the rule is stricter than the story.",
      wayOut: "bring the feature into a state that allows it, or claim the refusal: { rejected: … }.",
      expected: claim,
      actual: { rejected: refusal.reason }
    })
  }
  if (unstorable !== undefined) {
    throw new StoryBroken({
      happened: `${step} decided an event that cannot be stored as declared. ${unstorable}`,
      because: "the event does not fit its declared fields.",
      wayOut: "correct the event, or its declaration.",
      actual: events
    })
  }
  if ("events" in claim || reading === "exact") same(`the events of ${step}`, claim.events ?? [], events, reading)
  if (typeof claim.state === "function") {
    satisfies(`The state after ${step}`, claim.state as (state: unknown) => boolean, state)
  } else if ("state" in claim) {
    same(`the state after ${step}`, claim.state, state, reading)
  } else if (reading === "exact" && !equal(before, state)) {
    throw new StoryBroken({
      happened: `The state changed with ${step}, and the story does not say so:\n${sides(before, state)}`,
      because: "leaving out `state` claims that it stays as it was.",
      wayOut: "claim the state that it becomes: { state: … }.",
      expected: before,
      actual: state
    })
  }
  if (reading === "exact") return sameEffects(step, claim.fx ?? Fx.none, fx, "fx" in claim)
  if (claim.fx !== undefined) includes(step, claim.fx, fx)
}

const same = (what: string, expected: unknown, found: unknown, reading: Reading): void => {
  const actual = reading === "partial" ? mentioned(expected, found) : found
  if (equal(expected, actual)) return
  throw new StoryBroken({
    happened: `Not ${what} that the story tells:\n${sides(expected, actual)}`,
    because: "the rule differs from the story at the places named.",
    wayOut: "correct the rule, or the claim if the rule is right.",
    expected,
    actual
  })
}

const satisfies = (what: string, predicate: (state: unknown) => boolean, actual: unknown): void => {
  if (predicate(actual)) return
  throw new StoryBroken({
    happened: `${what} does not fulfil the predicate of the story: ${inline(actual)}`,
    because: "the rule differs from the story.",
    wayOut: "correct the rule, or the predicate if the rule is right.",
    actual
  })
}

const sameEffects = (step: string, expected: Fx.AnyFx, actual: Fx.AnyFx, claimed: boolean): void => {
  if (equal(expected, actual)) return
  throw new StoryBroken({
    happened: `${
      claimed ? `Not what ${step} has done` : `${step} has something done, and the story does not say so`
    }:\n${sides(expected, actual)}\nexpected to:\n${indented(expected)}\nbut will:\n${indented(actual)}`,
    because: claimed
      ? "an effect is missing, one too many, in another order, or asked for with other values."
      : "leaving out `fx` claims that nothing is to be done.",
    wayOut: claimed ? "correct the rule, or the claim if the rule is right." : "claim the effects: { fx: … }.",
    expected,
    actual
  })
}

const includes = (step: string, expected: Fx.AnyFx, actual: Fx.AnyFx): void => {
  const absent = missing(expected, actual)
  if (absent.length === 0) return
  throw new StoryBroken({
    happened: `${step} does not have done:\n${bullets(absent.map(Fx.render))}\nbut:\n${indented(actual)}`,
    because: "the effect is missing, or asked for with other values or in another part.",
    wayOut: "correct the rule, or the claim if the rule is right.",
    expected,
    actual
  })
}

const indented = (fx: Fx.AnyFx): string => `  ${Fx.render(fx).replaceAll("\n", "\n  ")}`

const accepted = ({ before, events, fx, state }: Reduction, step: string, reason: unknown): Complaint => {
  const what = [
    ...events.length === 0 ? [] : [`appended ${inline(events)}`],
    ...equal(before, state) ? [] : [`became ${inline(state)}`],
    ...fx._tag === "None" ? [] : [`has done:\n${indented(fx)}`]
  ]
  return {
    happened: `Expected ${step} to be refused with ${inline(reason)}, but it was accepted${
      what.length === 0 ? ", and nothing came of it" : `: it ${what.join(", and ")}`
    }`,
    because: "a guard is missing, or the state is not the one in which it refuses.",
    wayOut: "add the guard, or tell first what leads to the state that refuses.",
    expected: { rejected: reason },
    actual: { events, state, fx }
  }
}
