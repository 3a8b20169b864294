/**
 * The feature that is measured: an order that is placed once and then revised again and again, so that a stream can grow
 * to any length while the state stays as small as a real one. An event's body takes about 313 bytes of JSON.
 */
import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as Event from "@composable-ts/core/Event"
import * as Fx from "@composable-ts/core/Fx"
import type * as StreamId from "@composable-ts/core/StreamId"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { contentAt, initial, type State, totalOf } from "./OrderContent.ts"

const Line = Schema.Struct({
  sku: Schema.String,
  quantity: Schema.Int,
  unitPrice: Schema.Int
})

const fields = {
  orderId: Schema.String,
  customerId: Schema.String,
  currency: Schema.String,
  lines: Schema.Array(Line),
  note: Schema.String
}

/** The order's actions. Prices and totals are in cents. */
export const Order = Action.define("Order", {
  commands: { Place: fields, Revise: fields },
  events: {
    Placed: Event.v1({ ...fields, total: Schema.Int }),
    Revised: Event.v1({ ...fields, total: Schema.Int })
  }
})

export type OrderEvent = Action.EventOf<typeof Order>
export type OrderCommand = Action.CommandOf<typeof Order>

/** The order's rules. */
export const rules = {
  initial,
  decide: (state: State, command: OrderCommand) => {
    const { currency, customerId, lines, note, orderId } = command
    switch (command._tag) {
      case "Place":
        return state.placed
          ? Fx.reject({ _tag: "AlreadyPlaced" })
          : Fx.append(Order.Placed({ orderId, customerId, currency, lines, note, total: totalOf(command) }))
      case "Revise":
        return state.placed
          ? Fx.append(Order.Revised({ orderId, customerId, currency, lines, note, total: totalOf(command) }))
          : Fx.reject({ _tag: "NotPlaced" })
    }
  },
  evolve: (state: State, event: OrderEvent): State => {
    switch (event._tag) {
      case "Placed":
        return { ...state, placed: true, total: event.total }
      case "Revised":
        return { ...state, revisions: state.revisions + 1, total: event.total }
    }
  }
}

/** The order. */
export const order = Aggregate.define(Order, rules)

/** The command that places an order. */
export const place = (id: string): OrderCommand => Order.Place(contentAt(id, 0))

/** A command that revises an order; the index varies it. */
export const revise = (id: string, index: number): OrderCommand => Order.Revise(contentAt(id, index))

/** The event with this version in the stream of an order. */
export const eventAt = (id: string, version: number): OrderEvent => {
  const payload = contentAt(id, version)
  return version === 0
    ? Order.Placed({ ...payload, total: totalOf(place(id)) })
    : Order.Revised({ ...payload, total: totalOf(revise(id, version)) })
}

/** {@link eventAt}, as it is stored. */
export const encodedAt = (id: string, version: number) => Result.getOrThrow(Order.encode(eventAt(id, version)))

/** {@link encodedAt}, with so many lines more: each adds about 50 bytes. */
export const encodedWith = (id: string, version: number, lines: number) => {
  const event = eventAt(id, version)
  const more = Array.from({ length: lines }, (_, line) => ({
    sku: `SKU-${(line * 7_919 + version) % 100_003}`,
    quantity: 1 + (line + version) % 9,
    unitPrice: 100 + (line * 37 + version * 11) % 9_900
  }))
  return Result.getOrThrow(Order.encode({ ...event, lines: [...event.lines, ...more] }))
}

/** The stream of an order. */
export const streamOf = (id: string): StreamId.StreamId => Result.getOrThrow(Aggregate.streamId(order, id))
