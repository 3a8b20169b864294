/**
 * What must compile, and what must not. Checked by the compiler; nothing here runs.
 */
import * as Action from "@composable-ts/core/Action"
import type { Aggregate } from "@composable-ts/core/Aggregate"
import * as DurableAggregate from "@composable-ts/core/DurableAggregate"
import * as Event from "@composable-ts/core/Event"
import type { EventStore } from "@composable-ts/core/EventStore"
import type { RecordedEvent } from "@composable-ts/core/RecordedEvent"
import type { SnapshotStore } from "@composable-ts/core/SnapshotStore"
import type { PgClient } from "@effect/sql-pg"
import { Effect, Schema } from "effect"
import * as Saga from "../../src/Saga.ts"
import type * as Subscription from "../../src/Subscription.ts"
import { durableGate, Gate, gate, gates, inputs, State } from "../Gates.ts"

/** Holds exactly when two types are the same. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false
const same = <_T extends true>(): void => {}

const Order = Action.define("Order", {
  commands: {},
  events: {
    Placed: Event.v1({ total: Schema.Int })
      .next({ cents: Schema.Int, currency: Schema.String }, ({ total }) => ({ cents: total * 100, currency: "EUR" })),
    Shipped: Event.v1({})
  }
})
const order = { category: "order", actions: Order }

// The event is the named one, in its current shape.
const placed = Saga.on(order, "Placed", {
  correlate: (event, recorded) => {
    same<Same<typeof event, Extract<Action.EventOf<typeof Order>, { readonly _tag: "Placed" }>>>()
    same<Same<typeof event.cents, number>>()
    same<Same<typeof recorded, RecordedEvent>>()
    return recorded.streamId
  },
  toCommand: ({ cents }, _recorded, id) => {
    same<Same<typeof id, string>>()
    return Gate.Pass({ who: cents })
  }
})
same<Same<typeof placed, Saga.Input<Extract<Action.CommandOf<typeof Gate>, { readonly _tag: "Pass" }>>>>()

// An aggregate is a source, a saga's too.
Saga.on(gate, "Passed", { correlate: ({ who }) => `${who}`, toCommand: () => Gate.Open() })
Saga.on(gates.aggregate, "Passed", { correlate: ({ who }) => `${who}`, toCommand: () => Gate.Open() })

// Several instances, or none.
Saga.on(order, "Shipped", { correlate: () => ["a", "b"], toCommand: () => Gate.Open() })
Saga.on(order, "Shipped", { correlate: () => undefined, toCommand: () => Gate.Open() })

// @ts-expect-error: no event of that name is declared
Saga.on(order, "Vanished", { correlate: () => "a", toCommand: () => Gate.Open() })

// @ts-expect-error: the former shape of an event is gone
Saga.on(order, "Placed", { correlate: ({ total }) => total, toCommand: () => Gate.Open() })

// @ts-expect-error: an instance's id is text
Saga.on(order, "Placed", { correlate: ({ cents }) => cents, toCommand: () => Gate.Open() })

Saga.define(durableGate, { inputs: [placed, ...inputs], ends: ["Closed"] })

Saga.define(durableGate, {
  // @ts-expect-error: what an input asks for is a command of the saga's own
  inputs: [Saga.on(order, "Placed", { correlate: () => "a", toCommand: () => Order.Shipped() })]
})

Saga.define(durableGate, {
  // @ts-expect-error: and with its fields
  inputs: [Saga.on(order, "Placed", { correlate: () => "a", toCommand: () => ({ _tag: "Pass" as const, who: "me" }) })]
})

// @ts-expect-error: a saga without inputs is an aggregate
Saga.define(durableGate, { inputs: [] })

// @ts-expect-error: it ends with an event of its own
Saga.define(durableGate, { inputs, ends: ["Placed"] })

// @ts-expect-error: what becomes of refused inputs is one of two things
Saga.define(durableGate, { inputs, refused: "ignore" })

// @ts-expect-error: its effects must be stored with its events, so it takes a durable aggregate
Saga.define(gate, { inputs })

// What running needs: the log, the database of the checkpoints, and what the aggregates' stores need.
const runs = Saga.run(gates)
same<Same<typeof runs, Effect.Effect<never, Subscription.Stopped, EventStore | PgClient.PgClient>>>()
const withSnapshots = Saga.define(
  DurableAggregate.make(
    {
      ...gate,
      snapshot: { state: State, version: 1 }
    } as Aggregate<
      State,
      Action.CommandOf<typeof Gate>,
      Action.EventOf<typeof Gate>,
      { readonly _tag: "NobodyIsNegative" },
      SnapshotStore
    >
  ),
  { inputs, name: "snapshotted" }
)
const both = Saga.run(gates, withSnapshots)
same<Same<Effect.Services<typeof both>, EventStore | SnapshotStore | PgClient.PgClient>>()

// What is done with refused inputs adds its errors and needs.
const receiver = Saga.make(gates, ({ reason }) => Effect.fail(new Error(String(reason))))
same<Same<Effect.Success<typeof receiver>, Saga.Receiver<Error>>>()
