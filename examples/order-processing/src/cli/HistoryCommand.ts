/**
 * `orders history ORDER`: what happened to an order, event by event.
 */
import type { RecordedEvent } from "@composable-ts/core/RecordedEvent"
import { Console, Effect, Stream } from "effect"
import { Command } from "effect/cli"
import { Orders } from "../Orders.ts"
import { onOrders } from "./DataFolder.ts"
import { NothingToShow } from "./Failure.ts"
import { orderArgument } from "./OrderArgument.ts"
import { isoTime, jsonFlag, printJson } from "./Output.ts"
import * as Table from "./Table.ts"

export const HistoryCommand = Command.make(
  "history",
  {
    orderId: orderArgument,
    json: jsonFlag
  },
  Effect.fn(function*({ json, orderId }) {
    const events = yield* onOrders(Effect.flatMap(Orders, (orders) => Stream.runCollect(orders.history(orderId))))
    if (events.length === 0) return yield* new NothingToShow({ message: `There is no order ${orderId}.` })
    const recorded = events.map((event) => event.recorded)
    yield* json ? printJson(recorded.map(toJson)) : Console.log(toText(recorded))
  })
).pipe(Command.withDescription("List an order's events, as the log holds them"))

const toJson = ({ globalPosition, recordedAt, ...event }: RecordedEvent) => ({
  ...event,
  globalPosition: Number(globalPosition),
  recordedAt: isoTime(recordedAt)
})

/** For people to read. */
export const toText = (events: ReadonlyArray<RecordedEvent>): string =>
  Table.render([
    { title: "VERSION", cell: (event) => String(event.version), align: "right" },
    { title: "POSITION", cell: (event) => String(event.globalPosition), align: "right" },
    { title: "RECORDED AT", cell: (event) => isoTime(event.recordedAt) },
    { title: "EVENT", cell: (event) => event.type },
    { title: "COMMAND", cell: (event) => event.commandId }
  ], events)
