/**
 * What a vocabulary infers, and what it forbids.
 */
import * as Action from "@composable-ts/core/Action"
import * as Event from "@composable-ts/core/Event"
import type { DecodeError, EventEncodeFailed } from "@composable-ts/core/EventError"
import type { EncodedEvent, RecordedEvent } from "@composable-ts/core/RecordedEvent"
import { type Result, Schema } from "effect"
import { a, type Equals, type Flat, type Proof } from "./Proof.ts"

const OrderId = Schema.String.pipe(Schema.brand("OrderId"))
type OrderId = typeof OrderId.Type

const Order = Action.define("Order", {
  commands: {
    Place: { orderId: OrderId, note: Schema.optionalKey(Schema.String) },
    Ship: { carrier: Schema.Literals(["ups", "dhl"]) },
    Cancel: {}
  },
  events: {
    Placed: Event.v1({ orderId: OrderId })
      .next({ orderId: OrderId, currency: Schema.String }, (old) => ({ ...old, currency: "EUR" })),
    Shipped: Event.v1({ at: Schema.DateTimeUtcFromString }),
    Cancelled: Event.v1({})
  }
})

type Command = Action.CommandOf<typeof Order>
type Event_ = Action.EventOf<typeof Order>

type Place = { readonly _tag: "Place"; readonly orderId: OrderId; readonly note?: string }
type Ship = { readonly _tag: "Ship"; readonly carrier: "ups" | "dhl" }
type Cancel = { readonly _tag: "Cancel" }
type Placed = { readonly _tag: "Placed"; readonly orderId: OrderId; readonly currency: string }
type Shipped = { readonly _tag: "Shipped"; readonly at: typeof Schema.DateTimeUtc.Type }
type Cancelled = { readonly _tag: "Cancelled" }

/** The unions are exactly what the declaration says; an event has its newest shape. */
export type Unions = [
  Proof<Equals<Flat<Command>, Place | Ship | Cancel>>,
  Proof<Equals<Flat<Event_>, Placed | Shipped | Cancelled>>,
  Proof<Equals<Action.ActionOf<typeof Order>, Command | Event_>>,
  Proof<Equals<keyof typeof Order.storedTypes, "Placed" | "Shipped" | "Cancelled">>,
  Proof<Equals<keyof typeof Order.declaration.commands, "Place" | "Ship" | "Cancel">>,
  Proof<Equals<keyof typeof Order.declaration.events, "Placed" | "Shipped" | "Cancelled">>
]

const Counter = Action.define("Counter", { commands: { Increment: {} }, events: {} })
const Feed = Action.define("Feed", { commands: {}, events: { Posted: Event.v1({ text: Schema.String }) } })

/** A feature may do without events, or without commands. */
export type OneKindOnly = [
  Proof<Equals<Flat<Action.ActionOf<typeof Counter>>, { readonly _tag: "Increment" }>>,
  Proof<Equals<Action.EventOf<typeof Counter>, never>>,
  Proof<Equals<Flat<Action.ActionOf<typeof Feed>>, { readonly _tag: "Posted"; readonly text: string }>>,
  Proof<Equals<Action.CommandOf<typeof Feed>, never>>
]

const placed = Order.Placed({ orderId: OrderId.make("1"), currency: "EUR" })
const ship = Order.Ship({ carrier: "ups" })
const decoded = Order.decode(a<RecordedEvent>())
const encoded = Order.encode(placed)

export type Values = [
  Proof<Equals<Flat<typeof placed>, Placed>>,
  Proof<Equals<Flat<typeof ship>, Ship>>,
  Proof<Equals<typeof decoded, Result.Result<Event_, DecodeError>>>,
  Proof<Equals<typeof encoded, Result.Result<EncodedEvent, EventEncodeFailed>>>,
  Proof<Equals<typeof Order.Command.Type, Command>>
]

/** Guards narrow to the union, match to the case. */
export const narrow = (action: Command | Event_) => {
  if (Order.isCommand(action)) {
    const command: Command = action
    return command._tag
  }
  const event: Event_ = action
  return event._tag
}

const matched = Order.match(a<Event_>(), {
  Placed: ({ currency }) => currency,
  Shipped: ({ at }) => at.epochMilliseconds,
  Cancelled: () => null
})
export type Matched = Proof<Equals<typeof matched, string | number | null>>

// Constructors

// @ts-expect-error -- a required field is missing
Order.Place({})
// @ts-expect-error -- the whole payload is missing
Order.Place()
// @ts-expect-error -- a field of another type
Order.Place({ orderId: 1 })
// @ts-expect-error -- plain text is no OrderId
Order.Place({ orderId: "1" })
// @ts-expect-error -- no such field
Order.Ship({ carrier: "ups", speed: 1 })
// @ts-expect-error -- no such literal
Order.Ship({ carrier: "mule" })
// @ts-expect-error -- the fields of an old version
Order.Placed({ orderId: OrderId.make("1") })
// @ts-expect-error -- there is no such action
Order.Pay()
// @ts-expect-error -- values are immutable
ship.carrier = "dhl"

// Commands are not events

// @ts-expect-error -- a command cannot be encoded, so it can never reach the log
Order.encode(ship)
// @ts-expect-error -- a command has no stored name
Order.eventType(ship)
// @ts-expect-error -- what is built by hand is no encoded event
export const forged: EncodedEvent = { type: "Placed.v2", data: {} }
// @ts-expect-error -- a command's name has no stored types
export const typesOfCommand = Order.storedTypes.Ship

// Matching is exhaustive

// @ts-expect-error -- the case Cancelled is missing
Order.match(a<Event_>(), { Placed: () => 1, Shipped: () => 2 })
// @ts-expect-error -- Ship is no case of an event
Order.match(a<Event_>(), { Placed: () => 1, Shipped: () => 2, Cancelled: () => 3, Ship: () => 4 })
// @ts-expect-error -- a Placed has no carrier
Order.match(a<Event_>(), { Placed: ({ carrier }) => carrier, Shipped: () => 2, Cancelled: () => 3 })

// Names

// @ts-expect-error -- `Command` is a member of every vocabulary
Action.define("Shop", { commands: { Command: {} }, events: {} })
// @ts-expect-error -- `Command` is a member of every vocabulary
Action.define("Shop", { commands: {}, events: { Command: Event.v1({}) } })
// @ts-expect-error -- `encode` is a member of every vocabulary
Action.define("Shop", { commands: { encode: {} }, events: {} })
// @ts-expect-error -- `declaration` is a member of every vocabulary
Action.define("Shop", { commands: { declaration: {} }, events: {} })
// @ts-expect-error -- one name for a command and an event
Action.define("Shop", { commands: { Open: {}, Close: {} }, events: { Open: Event.v1({}) } })
// @ts-expect-error -- `_tag` would hide the action's name
Action.define("Shop", { commands: { Open: { _tag: Schema.String } }, events: {} })
// @ts-expect-error -- an event's fields must come with a version
Action.define("Shop", { commands: {}, events: { Opened: { at: Schema.Number } } })
// @ts-expect-error -- a command has no version
Action.define("Shop", { commands: { Open: Event.v1({}) }, events: {} })
