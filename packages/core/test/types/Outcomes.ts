/**
 * What an aggregate's outcomes infer, and what they forbid.
 */
import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as Event from "@composable-ts/core/Event"
import type { EventStore } from "@composable-ts/core/EventStore"
import * as Fx from "@composable-ts/core/Fx"
import * as Source from "@composable-ts/core/Source"
import * as Store from "@composable-ts/core/Store"
import * as Task from "@composable-ts/core/Task"
import { type Effect, Schema, type Scope } from "effect"
import { type Equals, type Proof } from "./Proof.ts"

const Order = Action.define("Order", {
  commands: {
    Place: {},
    Pay: { receipt: Schema.String },
    Refuse: { missing: Schema.Int },
    Move: { km: Schema.Finite }
  },
  events: { Placed: Event.v1({}) }
})
const Charge = Task.define("Charge", {
  input: Schema.Struct({ cents: Schema.Int }),
  success: Schema.Struct({ receipt: Schema.String }),
  failure: Schema.TaggedStruct("Declined", { missing: Schema.Int })
})
const Courier = Source.define("Courier", { input: Schema.String, value: Schema.Finite, failure: Schema.Never })

const rules = { initial: 0, evolve: (orders: number) => orders + 1 }

/** The parameters of every answer are known from the tasks and sources that the rules ask for. */
const order = Aggregate.define(Order, {
  initial: 0,
  decide: (_state, command) =>
    command._tag === "Place" ? Fx.all(Fx.append(Order.Placed()), Fx.perform(Charge, { cents: 1 })) : Fx.none,
  evolve: (orders, _event) => orders + 1,
  react: (_state, _event) => Fx.subscribe(Courier, "parcel", "courier"),
  outcomes: {
    Charge: {
      success: ({ receipt }, { cents }) => Order.Pay({ receipt: `${receipt} ${cents.toFixed()}` }),
      failure: ({ missing }) => Order.Refuse({ missing })
    },
    Courier: {
      value: (km, parcel) => Order.Move({ km: km + parcel.length }),
      failure: (never) => never,
      end: () => Order.Move({ km: 0 })
    }
  }
})
const store = Store.aggregate(order)
export type Needs = Proof<
  Equals<
    Effect.Services<typeof store>,
    EventStore | Task.Handler<"Charge"> | Source.Handler<"Courier"> | Scope.Scope
  >
>

const charging = { ...rules, decide: () => Fx.perform(Charge, { cents: 1 }) }
const following = { ...rules, decide: () => Fx.subscribe(Courier, "parcel", "courier") }
const failure = ({ missing }: { readonly missing: number }) => Order.Refuse({ missing })

// @ts-expect-error -- an outcome without the failure
Aggregate.define(Order, { ...charging, outcomes: { Charge: { success: () => Order.Place() } } })
// @ts-expect-error -- an outcome that is an event: what comes back is a command
Aggregate.define(Order, { ...charging, outcomes: { Charge: { success: () => Order.Placed(), failure } } })
// @ts-expect-error -- a source yields values, it does not succeed
Aggregate.define(Order, { ...following, outcomes: { Courier: { success: () => Order.Place(), failure: () => {} } } })
Aggregate.define(Order, {
  ...charging,
  // @ts-expect-error -- a success has no such field
  outcomes: { Charge: { success: ({ id }) => Order.Pay({ receipt: id }), failure } }
})

/** A task or a source without outcomes is named among what is needed. */
const unanswered = Store.aggregate(Aggregate.define(Order, charging))
const unheard = Store.aggregate(Aggregate.define(Order, following))
export type Missing = [
  Proof<Equals<Extract<Effect.Services<typeof unanswered>, { task: string }>, Aggregate.OutcomesMissing<"Charge">>>,
  Proof<Equals<Extract<Effect.Services<typeof unheard>, { task: string }>, Aggregate.OutcomesMissing<"Courier">>>
]
