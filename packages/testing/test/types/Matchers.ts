/* eslint-disable vitest/valid-expect -- it takes toReject for another library's matcher, which returns a promise */
/* eslint-disable vitest/no-standalone-expect -- this file is type-checked, never run */
/**
 * What the matchers know of the value they look at, and what they forbid.
 */
import * as Action from "@composable-ts/core/Action"
import type * as Aggregate from "@composable-ts/core/Aggregate"
import type { Outcome } from "@composable-ts/core/AggregateStore"
import * as Event from "@composable-ts/core/Event"
import type * as Fx from "@composable-ts/core/Fx"
import * as Task from "@composable-ts/core/Task"
import type { EventIn, ReasonIn } from "@composable-ts/testing/Matchers"
import { expect } from "@effect/vitest"
import { Schema } from "effect"
import { expect as plain } from "vitest"

type Equals<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false
type Proof<Claim extends true> = Claim
declare const a: <T>() => T

const Door = Action.define("Door", { commands: { Open: {} }, events: { Opened: Event.v1({ by: Schema.String }) } })
const Mail = Task.define("Mail", { input: Schema.String, success: Schema.Void, failure: Schema.Never })
type Opened = Action.EventOf<typeof Door>
type Reason = { readonly _tag: "Locked" }

type Decided = Fx.Append<Opened> | Fx.Reject<Reason> | Fx.None

export type Told = [
  Proof<Equals<EventIn<Decided>, Opened>>,
  Proof<Equals<ReasonIn<Decided>, Reason>>,
  Proof<Equals<EventIn<Aggregate.Step<number, Opened, Reason>>, Opened>>,
  Proof<Equals<ReasonIn<Aggregate.Step<number, Opened, Reason>>, Reason>>,
  Proof<Equals<EventIn<readonly [number, Decided]>, Opened>>,
  Proof<Equals<EventIn<Outcome<number, Opened>>, Opened>>,
  Proof<Equals<EventIn<unknown>, unknown>>
]

const decided = a<Decided>()

expect(decided).toHaveAppended(Door.Opened({ by: "Ada" }))
expect(decided).toHaveAppended(expect.objectContaining({ by: "Ada" }))
expect(decided).toReject({ _tag: "Locked" })
expect(decided).toPerform(Mail, "hello")
expect(decided).not.toPerform(Mail)

// @ts-expect-error -- a command is no event
expect(decided).toHaveAppended(Door.Open())
// @ts-expect-error -- an event without its fields
expect(decided).toHaveAppended({ _tag: "Opened" })
// @ts-expect-error -- not a reason that is given
expect(decided).toReject({ _tag: "Burnt" })
// @ts-expect-error -- another input than the task's
expect(decided).toPerform(Mail, 5)
// @ts-expect-error -- no task
expect(decided).toPerform("Mail")
// @ts-expect-error -- no such matcher
expect(decided).toHaveAppendid()

// vitest's own `expect` is the same one.
plain(decided).toHaveAppended(Door.Opened({ by: "Ada" }))
plain(decided).toPerform(Mail, "hello")
// @ts-expect-error -- a command is no event
plain(decided).toHaveAppended(Door.Open())
// @ts-expect-error -- another input than the task's
plain(decided).toPerform(Mail, 5)
