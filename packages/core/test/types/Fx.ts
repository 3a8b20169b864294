/**
 * What an effect description infers, and what it forbids.
 */
import * as Fx from "@composable-ts/core/Fx"
import * as Task from "@composable-ts/core/Task"
import { Schema, type Scope } from "effect"
import { a, type Equals, type Proof } from "./Proof.ts"

const Charge = Task.define("Charge", {
  input: Schema.Struct({ cents: Schema.Int }),
  success: Schema.Struct({ receipt: Schema.String }),
  failure: Schema.TaggedStruct("Declined", {})
})
const Mail = Task.define("Mail", { input: Schema.String, success: Schema.Void, failure: Schema.Never })

const opened = { _tag: "Opened" } as const
const later = { _tag: "Later", n: 1 } as const
const now = { _tag: "Now" } as const

/** A group is what its members are, together, however deep and whatever the kind of group. */
const everything = Fx.all(
  Fx.append(opened),
  Fx.sequential(
    Fx.perform(Charge, { cents: 1 }, { id: "c" }),
    Fx.parallel(2, Fx.perform(Mail, "hello"), Fx.delay("d", 1000, later)),
    Fx.send(now)
  ),
  Fx.reject({ _tag: "No", why: 3 })
)
export type Everything = [
  Proof<Equals<Fx.EventOf<typeof everything>, typeof opened>>,
  Proof<Equals<Fx.ReasonOf<typeof everything>, { readonly _tag: "No"; readonly why: 3 }>>,
  Proof<Equals<Fx.ActionOf<typeof everything>, typeof later | typeof now>>,
  Proof<Equals<Fx.TaskOf<typeof everything>, typeof Charge | typeof Mail>>,
  Proof<Equals<Fx.NeedsOf<typeof everything>, Task.Handler<"Charge"> | Task.Handler<"Mail"> | Scope.Scope>>
]

/** What is not there is never. */
export type Nothing = [
  Proof<Equals<Fx.EventOf<Fx.None>, never>>,
  Proof<Equals<Fx.ReasonOf<Fx.None>, never>>,
  Proof<Equals<Fx.ActionOf<Fx.None | Fx.Cancel | Fx.CancelAll>, never>>,
  Proof<Equals<Fx.TaskOf<Fx.None | Fx.Cancel | Fx.Send<typeof now>>, never>>,
  Proof<Equals<Fx.NeedsOf<Fx.None | Fx.Append<typeof opened> | Fx.Reject<typeof now>>, never>>,
  Proof<Equals<Fx.NeedsOf<Fx.Delay<typeof now>>, Scope.Scope>>
]

/** Literals stay literals: nobody writes `as const`. */
const delayed = Fx.delay("d", 1000, { _tag: "Later", n: 1 })
const throttled = Fx.throttle("d", 1000, { _tag: "Later", n: 1 })
const sent = Fx.send({ _tag: "Later", n: 1 })
export type Literals = [
  Proof<Equals<typeof delayed, Fx.Delay<typeof later>>>,
  Proof<Equals<typeof throttled, Fx.Throttle<typeof later>>>,
  Proof<Equals<typeof sent, Fx.Send<typeof later>>>
]

/** Where it reports to changes nothing of what a description is. */
const within = Fx.within({ key: "shop" }, everything)
export type Within = Proof<Equals<typeof within, typeof everything>>

/** map changes the actions and leaves the rest. */
const mapped = Fx.map(everything, (action) => {
  type Given = Proof<Equals<typeof action, typeof later | typeof now>>
  return { _tag: "Wrapped", of: action._tag } satisfies { _tag: Given extends true ? string : never; of: string }
})
export type Mapped = [
  Proof<Equals<Fx.ActionOf<typeof mapped>, { _tag: string; of: "Later" | "Now" }>>,
  Proof<Equals<Fx.EventOf<typeof mapped>, typeof opened>>,
  Proof<Equals<Fx.TaskOf<typeof mapped>, typeof Charge | typeof Mail>>
]

// @ts-expect-error -- another input than the task's
Fx.perform(Charge, { euros: 1 })
// @ts-expect-error -- no input
Fx.perform(Charge)
// @ts-expect-error -- a task by its bare name
Fx.perform("Charge", { cents: 1 })
// @ts-expect-error -- no such option
Fx.perform(Charge, { cents: 1 }, { name: "c" })
// @ts-expect-error -- a function is no data, so it is no group's member
Fx.all(() => Fx.none)
// @ts-expect-error -- a group of what is no description
Fx.sequential({ _tag: "Later" })
// @ts-expect-error -- no bound
Fx.parallel(Fx.none, Fx.none)
// @ts-expect-error -- a timer has an id: without, nobody could cancel it
Fx.delay(1000, later)
// @ts-expect-error -- a cancel of nothing in particular is cancelAll
Fx.cancel()
// @ts-expect-error -- a place has a key
Fx.within({ id: "1" }, Fx.cancelAll)
// @ts-expect-error -- descriptions are not changed, they are made
a<Fx.Delay<typeof later>>().millis = 5
// @ts-expect-error -- not even their lists
a<Fx.Parallel<Fx.Cancel>>().fx.push(Fx.cancel("c"))
