/**
 * The aggregates that the tests of durable effects share: an order that is charged, may expire, and reserves stock.
 */
import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as DurableAggregate from "@composable-ts/core/DurableAggregate"
import * as Event from "@composable-ts/core/Event"
import * as Fx from "@composable-ts/core/Fx"
import * as Task from "@composable-ts/core/Task"
import { Schedule, Schema } from "effect"

export const Charge = Task.define("Charge", {
  input: Schema.Struct({ cents: Schema.Int, at: Schema.DateTimeUtcFromString }),
  success: Schema.String,
  failure: Schema.Literals(["declined", "unavailable"]),
  retry: {
    schedule: Schedule.spaced("20 millis").pipe(Schedule.upTo({ times: 2 })),
    while: (failure) => failure === "unavailable"
  }
})

export const Stock = Action.define("Stock", {
  commands: { Reserve: { order: Schema.String, count: Schema.Int }, Fill: { count: Schema.Int } },
  events: { Reserved: Event.v1({ order: Schema.String, count: Schema.Int }), Filled: Event.v1({ count: Schema.Int }) }
})

export const stock = Aggregate.define(Stock, {
  initial: { left: 0, reserved: [] as ReadonlyArray<string> },
  decide: (state, command) => {
    if (command._tag === "Fill") return Fx.append(Stock.Filled({ count: command.count }))
    if (state.left < command.count) return Fx.reject({ _tag: "TooFew", left: state.left })
    return Fx.append(Stock.Reserved({ order: command.order, count: command.count }))
  },
  evolve: (state, event) =>
    event._tag === "Filled"
      ? { ...state, left: state.left + event.count }
      : { left: state.left - event.count, reserved: [...state.reserved, event.order] }
})

export const Order = Action.define("Order", {
  commands: {
    Place: { cents: Schema.Int },
    Charged: { receipt: Schema.String },
    NotCharged: { why: Schema.String },
    Expire: {},
    Patience: { millis: Schema.Int },
    Reserve: { sku: Schema.String, count: Schema.Int },
    NotReserved: { sku: Schema.String, left: Schema.Int },
    Tell: { text: Schema.String },
    Look: { sku: Schema.String },
    StockSeen: { id: Schema.String, current: Schema.Struct({ version: Schema.Int }) },
    Announce: { text: Schema.String },
    Note: { text: Schema.String },
    Idle: {},
    GiveUp: {}
  },
  events: {
    Placed: Event.v1({ cents: Schema.Int, time: Schema.Number }),
    Paid: Event.v1({ receipt: Schema.String }),
    Failed: Event.v1({ why: Schema.String }),
    Expired: Event.v1({}),
    Awaited: Event.v1({ millis: Schema.Int }),
    Wanted: Event.v1({ sku: Schema.String, count: Schema.Int }),
    OutOfStock: Event.v1({ sku: Schema.String, left: Schema.Int }),
    Told: Event.v1({ text: Schema.String }),
    Looked: Event.v1({ sku: Schema.String }),
    Seen: Event.v1({ version: Schema.Int }),
    Announced: Event.v1({ text: Schema.String }),
    GivenUp: Event.v1({})
  }
})

export const order = Aggregate.define(Order, {
  initial: [] as ReadonlyArray<string>,
  decide: (_state, command, { time }) => {
    switch (command._tag) {
      case "Place":
        return Fx.append(Order.Placed({ cents: command.cents, time }))
      case "Charged":
        return Fx.append(Order.Paid(command))
      case "NotCharged":
        return Fx.append(Order.Failed(command))
      case "Expire":
        return Fx.append(Order.Expired())
      case "Patience":
        return Fx.append(Order.Awaited(command))
      case "Reserve":
        return Fx.append(Order.Wanted(command))
      case "NotReserved":
        return Fx.append(Order.OutOfStock(command))
      case "Tell":
        return Fx.all(Fx.append(Order.Told(command)), Fx.send(Order.Note({ text: `told ${command.text}` })))
      case "Look":
        return Fx.append(Order.Looked(command))
      case "StockSeen":
        return Fx.append(Order.Seen({ version: command.current.version }))
      case "Announce":
        return Fx.append(Order.Announced(command))
      case "Note":
        return command.text === "told off" ? Fx.reject({ _tag: "NotHeard" }) : Fx.none
      case "Idle":
        return Fx.delay("patience", 1_000, Order.Expire())
      case "GiveUp":
        return Fx.all(Fx.append(Order.GivenUp()), Fx.cancelAll)
    }
  },
  evolve: (state, event): ReadonlyArray<string> => [...state, event._tag],
  react: (_state, event) => {
    switch (event._tag) {
      case "Placed":
        return Fx.all(
          Fx.perform(Charge, { cents: event.cents, at: dateOf(event.time) }, { id: "charge" }),
          Fx.delay("patience", 60_000, Order.Expire())
        )
      case "Paid":
        return Fx.cancel("patience")
      case "Awaited":
        return Fx.debounce("patience", event.millis, Order.Expire())
      case "Wanted":
        return Fx.dispatch(stock, event.sku, Stock.Reserve({ order: "some", count: event.count }))
      case "Looked":
        return Fx.load(stock, event.sku, "StockSeen")
      case "Announced":
        return Fx.publish("orders", { type: "Announced.v1", data: { text: event.text } } as never)
      default:
        return Fx.none
    }
  },
  outcomes: {
    Charge: {
      success: (receipt) => Order.Charged({ receipt }),
      failure: (why, { cents }) => Order.NotCharged({ why: `${cents} ${why}` })
    }
  }
})

const dateOf = Schema.decodeSync(Schema.DateTimeUtcFromMillis)

export const durableOrder = DurableAggregate.make(order, {
  tasks: [Charge],
  targets: [
    DurableAggregate.target(stock, ({ id, reason }) => Order.NotReserved({ sku: id, left: reason.left }))
  ]
})
