/**
 * The import: each line of the input becomes commands to one order, many lines at a time.
 */
import * as Aggregate from "@composable-ts/core/Aggregate"
import type { DispatchError } from "@composable-ts/core/Store"
import { Effect, Result, Stream } from "effect"
import { order, type OrderCommand, type OrderEvent } from "../domain/Order.ts"
import { explain, isOrderRefusal, type OrderRefusal } from "../domain/OrderRefusal.ts"
import { Orders } from "../Orders.ts"
import { commandId } from "./CommandId.ts"
import { type InputLine, lines, maxLineBytes } from "./LineReader.ts"
import { decode, toCommands } from "./OrderDocument.ts"

/** What became of a line. */
export type LineResult =
  /** Its order is stored; `events` says what of it is new. None, when all of it was there already. */
  | { readonly _tag: "Stored"; readonly line: number; readonly events: ReadonlyArray<OrderEvent["_tag"]> }
  /** Nothing of the line is stored. */
  | { readonly _tag: "Refused"; readonly line: number; readonly reason: string }

/** How many lines are on their way at once. */
const concurrency = 64

/** Imports newline-delimited JSON. The results come in the order of the lines. */
export const importOrders = <E, R>(
  bytes: Stream.Stream<Uint8Array, E, R>
): Stream.Stream<LineResult, E | DispatchError, R | Orders> =>
  Stream.mapEffect(lines(bytes), importLine, { concurrency })

const refused = (line: number, reason: string): LineResult => ({ _tag: "Refused", line, reason })

const importLine = (input: InputLine): Effect.Effect<LineResult, DispatchError, Orders> => {
  switch (input._tag) {
    case "TooLong":
      return Effect.succeed(refused(input.number, `longer than ${maxLineBytes} bytes`))
    case "NotUtf8":
      return Effect.succeed(refused(input.number, "not UTF-8"))
    case "Text": {
      const document = decode(input.text)
      if (Result.isFailure(document)) return Effect.succeed(refused(input.number, document.failure))
      const commands = toCommands(document.success)
      const refusal = rehearse(commands)
      return refusal === undefined
        ? dispatchAll(input.number, commands)
        : Effect.succeed(refused(input.number, explain(refusal)))
    }
  }
}

const rehearsal = { id: "rehearsal", time: 0, correlationId: "rehearsal", causationId: "rehearsal" }

/**
 * What a new order would say to the commands. It is asked before the first one is dispatched, so that a line is not
 * stored by halves. The rules are pure functions, so asking costs nothing.
 */
const rehearse = (commands: ReadonlyArray<OrderCommand>): OrderRefusal | undefined => {
  let state = order.initial
  for (const command of commands) {
    const next = Aggregate.step(order, state, command, rehearsal)
    if (next.refusal !== undefined) return next.refusal.reason
    state = next.state
  }
  return undefined
}

const dispatchAll = (
  line: number,
  commands: ReadonlyArray<OrderCommand>
): Effect.Effect<LineResult, DispatchError, Orders> =>
  Effect.forEach(commands, (command) => Orders.dispatch(command, { commandId: commandId(command) })).pipe(
    Effect.map((outcomes): LineResult => ({
      _tag: "Stored",
      line,
      events: outcomes.flatMap(({ duplicate, events }) => duplicate ? [] : events.map(({ _tag }) => _tag))
    })),
    Effect.catchIf(isOrderRefusal, (refusal) => Effect.succeed(refused(line, explainStored(refusal))))
  )

/** The same command would have been recognised by its id, so the order that is there differs from the line's. */
const explainStored = (refusal: OrderRefusal): string =>
  refusal._tag === "AlreadyPlaced" ? `${explain(refusal)} with other content` : explain(refusal)
