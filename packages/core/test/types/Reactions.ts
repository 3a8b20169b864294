/**
 * What an aggregate's reactions need, and what they forbid.
 */
import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as Event from "@composable-ts/core/Event"
import type { EventStore } from "@composable-ts/core/EventStore"
import * as Fx from "@composable-ts/core/Fx"
import * as Store from "@composable-ts/core/Store"
import * as Task from "@composable-ts/core/Task"
import { Effect, Schema, type Scope } from "effect"
import type { Equals, Proof } from "./Proof.ts"

const Order = Action.define("Order", {
  commands: { Place: {}, Confirm: { receipt: Schema.String } },
  events: { Placed: Event.v1({}), Paid: Event.v1({}) }
})
const Light = Action.define("Light", { commands: { Switch: {} }, events: { Switched: Event.v1({}) } })
const Charge = Task.define("Charge", { input: Schema.Int, success: Schema.String, failure: Schema.Never })
const Mail = Task.define("Mail", { input: Schema.String, success: Schema.Void, failure: Schema.Never })

const rules = {
  initial: 0 as number,
  decide: () => Fx.append(Order.Placed()),
  evolve: (n: number) => n + 1
}
const charging = { ...rules, react: () => Fx.perform(Charge, 5) }
const confirm = (receipt: string) => Order.Confirm({ receipt })
const never = (failure: never) => failure

/** Reactions that ask for nothing need nothing. */
const plain = Store.aggregate(Aggregate.define(Order, rules))
export type Plain = Proof<Equals<Effect.Services<typeof plain>, EventStore>>

/** A task needs its handler, and a scope to go on in; so does a timer. */
const answered = Aggregate.define(Order, { ...charging, outcomes: { Charge: { success: confirm, failure: never } } })
const store = Store.aggregate(answered)
const timed = Store.aggregate(Aggregate.define(Order, { ...rules, react: () => Fx.delay("d", 5, Order.Place()) }))
export type Needs = [
  Proof<Equals<Effect.Services<typeof store>, EventStore | Task.Handler<"Charge"> | Scope.Scope>>,
  Proof<Equals<Effect.Services<typeof timed>, EventStore | Scope.Scope>>
]

const run = Effect.runPromise as <A, E>(program: Effect.Effect<A, E, EventStore>) => Promise<A>
const charge = Task.layer(Charge, () => Effect.succeed("paid"))
run(Effect.scoped(store).pipe(Effect.provide(charge)))
// @ts-expect-error -- the handler of Charge is missing
run(Effect.scoped(store))

/** A task that nothing answers is named among what the store needs, and nobody can provide that. */
const unanswered = Aggregate.define(Order, {
  ...charging,
  decide: () => Fx.all(Fx.append(Order.Placed()), Fx.perform(Mail, "placed"))
})
const impossible = Effect.scoped(Store.aggregate(unanswered)).pipe(
  Effect.provide(charge),
  Effect.provide(Task.layer(Mail, () => Effect.void))
)
// @ts-expect-error -- Mail and Charge have no outcomes
run(impossible)
export type Missing = Proof<
  Equals<Effect.Services<typeof impossible>, EventStore | Aggregate.OutcomesMissing<"Mail" | "Charge">>
>
const half = Aggregate.define(Order, {
  ...charging,
  decide: () => Fx.perform(Mail, "placed"),
  outcomes: { Charge: { success: confirm, failure: never } }
})
const halfway = Effect.scoped(Store.aggregate(half)).pipe(
  Effect.provide(charge),
  Effect.provide(Task.layer(Mail, () => Effect.void))
)
// @ts-expect-error -- Mail has no outcomes
run(halfway)

// @ts-expect-error -- a reaction appends: events come of commands
Aggregate.define(Order, { ...rules, react: () => Fx.append(Order.Paid()) })
// @ts-expect-error -- a reaction refuses: what happened has happened
Aggregate.define(Order, { ...rules, react: () => Fx.reject({ _tag: "No" }) })
// @ts-expect-error -- a reaction sends an event
Aggregate.define(Order, { ...rules, react: () => Fx.send(Order.Paid()) })
// @ts-expect-error -- a reaction sends another feature's command
Aggregate.define(Order, { ...rules, react: () => Fx.delay("d", 5, Light.Switch()) })
// @ts-expect-error -- a reaction runs what is not data
Aggregate.define(Order, { ...rules, react: () => Fx.run(Effect.succeed(Order.Place())) })
Aggregate.define(Order, {
  ...rules,
  // @ts-expect-error -- a reaction is asked of events, not of commands
  react: (_n, event) => event._tag === "Place" ? Fx.cancelAll : Fx.none
})
