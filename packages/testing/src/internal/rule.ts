/**
 * What rules of reducers and of aggregates have in common: how they fail, and what they compare.
 */
import type { Meta } from "@composable-ts/core/Action"
import * as Fx from "@composable-ts/core/Fx"
import * as Formatter from "effect/Formatter"
import { palette } from "./colour.ts"
import { equal } from "./differences.ts"
import { leaves } from "./leaves.ts"
import { shown } from "./shown.ts"

/** A reducer or an aggregate does not do what a rule says. Test runners show `expected` and `actual` as a diff. */
export class RuleBroken extends Error {
  override readonly name = "RuleBroken"
  readonly expected: unknown
  readonly actual: unknown

  constructor(message: string, expected: unknown, actual: unknown) {
    super(message)
    this.expected = expected
    this.actual = actual
  }
}

/** What accompanies an action: what the rule says, at time 0 and as its own correlation and cause where it does not. */
export const accompanying = (name: string, given: Partial<Meta> = {}): Meta => {
  const id = given.id ?? name
  return { id, time: 0, correlationId: id, causationId: id, ...given }
}

/** On one line. */
export const inline = (value: unknown): string => Formatter.format(value)

/** Throws unless the two are equal by structure. */
export const same = (what: string, expected: unknown, actual: unknown): void => {
  if (equal(expected, actual)) return
  throw new RuleBroken(
    `Not ${what} that the rule expects:\n${shown(expected, actual, palette())}`,
    expected,
    actual
  )
}

/** Throws unless all that is expected is among what is done. */
export const among = (expected: ReadonlyArray<Fx.AnyFx>, effects: Fx.AnyFx, action: string): void => {
  const done = leaves(effects)
  const missing = expected.flatMap(leaves).find((wanted) => !done.some((leaf) => equal(wanted, leaf)))
  if (missing === undefined) return
  throw new RuleBroken(
    `Expected ${action} to have this done, among others:\n  ${Fx.render(missing)}\nbut ` +
      (done.length === 0 ? "nothing is done" : `this is done:\n  ${done.map(Fx.render).join("\n  ")}`),
    missing,
    done
  )
}
