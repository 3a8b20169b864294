/**
 * What needs no database: the reducer alone, the store on the event store in memory, and replay from it.
 */
import type { Meta } from "@composable-ts/core/Action"
import * as EventStore from "@composable-ts/core/EventStore"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
import * as Store from "@composable-ts/core/Store"
import * as Effect from "effect/Effect"
import { isDeepStrictEqual } from "node:util"
import type { Experiment, Outcome } from "../Contest.ts"
import * as Log from "../Log.ts"
import { eventAt, order, type OrderCommand, type OrderEvent, place, revise, streamOf } from "../Order.ts"
import { type State, stateAfter, totalOf } from "../OrderContent.ts"
import * as Peer from "../Peer.ts"
import { numbers, rate } from "../Timing.ts"

const meta: Meta = { id: "command", time: 0, correlationId: "command", causationId: "command" }

/** How many steps to take between two looks at the clock. */
const block = 1_000

/** Commands are made beforehand: a reducer is handed them. */
const commands: ReadonlyArray<OrderCommand> = numbers(block).map((index) => revise("1", index + 1))

const placed: State = stateAfter("1", 1)

/** Takes the events of a step, as a store would: an event that nobody took need not even exist. */
type Take = (event: unknown) => void

/** Steps that revise a placed order, for so long, each block on the state that the last one left. */
const steps = (
  id: string,
  milliseconds: number,
  step: (state: State, command: OrderCommand, take: Take) => State
): Outcome => {
  const taken = Array.from<unknown>({ length: block })
  let next = 0
  const take: Take = (event) => {
    taken[next++] = event
  }
  let state = placed
  let count = 0
  const start = performance.now()
  while (performance.now() - start < milliseconds) {
    next = 0
    for (const command of commands) state = step(state, command, take)
    count += block
  }
  const { perSecond } = rate(count, start)
  const expectedState = { ...stateAfter("1", block + 1), revisions: count }
  const expectedEvents = numbers(block).map((index) => eventAt("1", index + 1))
  const fault = isDeepStrictEqual(state, expectedState) && isDeepStrictEqual(taken, expectedEvents)
    ? undefined
    : `${count} steps led to ${JSON.stringify(state)} and ${next} events at the last`
  return { figures: { [id]: perSecond }, fault }
}

/** Command to effect, its events to state: the whole of a step but for storing. */
const ourStep = (state: State, command: OrderCommand, take: Take): State => {
  const [unchanged, fx] = order.reduce(state, command, meta)
  if (fx._tag !== "Append") throw new Error(`a revision led to ${fx._tag}`)
  let next = unchanged
  for (const event of fx.events) {
    take(event)
    next = order.reduce(next, event, meta)[0]
  }
  return next
}

/** The same by hand: an event of the same fields, and the state that follows from it. */
const plainStep = (state: State, command: OrderCommand, take: Take): State => {
  const { currency, customerId, lines, note, orderId } = command
  const event = { _tag: "Revised", orderId, customerId, currency, lines, note, total: totalOf(command) }
  take(event)
  return { ...state, revisions: state.revisions + 1, total: event.total }
}

const reducer: Experiment = {
  measures: [{
    id: "reducer.step",
    unit: "steps/s",
    better: "higher",
    about: "Command to effect, its events to state, without storing anything. The floor does it by hand."
  }],
  open: ({ milliseconds }) =>
    Effect.map(
      Peer.openAll(["@reduxjs/toolkit", "xstate"], "reducer.step", { milliseconds }),
      (peers) => ({
        floor: () => Effect.sync(() => steps("reducer.step", milliseconds, plainStep)),
        ours: () => Effect.sync(() => steps("reducer.step", milliseconds, ourStep)),
        peers
      })
    )
}

const orderIds: ReadonlyArray<string> = numbers(32).map((index) => `${index}`)

const ignore: Take = () => {}

/** Orders kept by hand: each command leads to one event, which is serialised and pushed to the end of its stream. */
const plainOrders = () => {
  const streams = new Map<string, Array<string>>()
  const states = new Map<string, State>()
  return {
    streams,
    states,
    handle: (id: string, command: OrderCommand): void => {
      const { _tag, ...body } = command
      const stored = JSON.stringify({ ...body, total: totalOf(command) })
      const stream = streams.get(id)
      if (stream === undefined) streams.set(id, [stored])
      else stream.push(stored)
      states.set(id, _tag === "Place" ? placed : plainStep(states.get(id)!, command, ignore))
    }
  }
}

/** What is wrong with orders that were placed, then revised in turns, given the number of revisions. */
const ordersFault = (count: number, versionOf: (id: string) => number, stateOf: (id: string) => State | undefined) => {
  for (const [nr, id] of orderIds.entries()) {
    const revisions = Math.floor(count / orderIds.length) + (nr < count % orderIds.length ? 1 : 0)
    if (versionOf(id) !== revisions) return `order ${id} stands at ${versionOf(id)} after ${revisions} revisions`
    if (stateOf(id)?.revisions !== revisions) return `order ${id} counts ${stateOf(id)?.revisions}, not ${revisions}`
  }
  return undefined
}

const store: Experiment = {
  measures: [{
    id: "store.memory",
    unit: "commands/s",
    better: "higher",
    about:
      "Commands on aggregates in use, on the event store in memory. The floor serialises the events and pushes them " +
      "to arrays."
  }],
  open: ({ milliseconds }) =>
    Effect.succeed({
      floor: () =>
        Effect.sync(() => {
          const { handle, states, streams } = plainOrders()
          for (const id of orderIds) handle(id, place(id))
          let count = 0
          const start = performance.now()
          const deadline = start + milliseconds
          do {
            const id = orderIds[count % orderIds.length]!
            handle(id, revise(id, count++))
          } while (performance.now() < deadline)
          const { perSecond } = rate(count, start)
          const fault = ordersFault(count, (id) => streams.get(id)!.length - 1, (id) => states.get(id))
          return { figures: { "store.memory": perSecond }, fault }
        }),
      ours: () =>
        Effect.gen(function*() {
          const orders = yield* Store.aggregate(order)
          for (const id of orderIds) yield* orders.dispatch(id, place(id))
          let count = 0
          const start = performance.now()
          const deadline = start + milliseconds
          do {
            const id = orderIds[count % orderIds.length]!
            yield* orders.dispatch(id, revise(id, count++))
          } while (performance.now() < deadline)
          const { perSecond } = rate(count, start)
          const current = new Map<string, { readonly state: State; readonly version: number }>()
          for (const id of orderIds) current.set(id, yield* orders.state(id))
          const { head } = yield* (yield* EventStore.EventStore).readAll({ after: 0n, limit: 0 })
          const fault = head === BigInt(count + orderIds.length)
            ? ordersFault(count, (id) => current.get(id)!.version, (id) => current.get(id)?.state)
            : `${count + orderIds.length} commands led to ${head} events`
          return { figures: { "store.memory": perSecond }, fault }
        }).pipe(
          Effect.mapError((reason) => reason instanceof Error ? reason : new Error(`refused: ${reason._tag}`)),
          Effect.provide(MemoryEventStore.layer)
        )
    })
}

const replay: Experiment = {
  measures: [{
    id: "replay.memory",
    unit: "events/s",
    better: "higher",
    about: "A stream of 5 000 events in memory is decoded, checked and folded. The floor folds it without checks."
  }],
  open: ({ milliseconds }) =>
    Effect.gen(function*() {
      const length = 5_000
      const events = yield* MemoryEventStore.make
      yield* events.append(streamOf("1"), ExpectedVersion.noStream, Log.encoded("1", 0, length))
      const recorded = yield* events.read(streamOf("1"))
      const expected = stateAfter("1", length)
      /** Whole replays for so long. */
      const replays = (once: Effect.Effect<State, Error>): Effect.Effect<Outcome, Error> =>
        Effect.gen(function*() {
          let fault: string | undefined
          let count = 0
          const start = performance.now()
          do {
            const state = yield* once
            if (!isDeepStrictEqual(state, expected)) fault = `replay led to ${JSON.stringify(state)}`
            count += length
          } while (performance.now() - start < milliseconds)
          return { figures: { "replay.memory": rate(count, start).perSecond }, fault }
        })
      return {
        // Trusts what it reads.
        floor: () =>
          replays(Effect.sync(() => {
            let state = order.initial
            for (const { data, type } of recorded) {
              state = order.evolve(state, { _tag: type.slice(0, -3), ...data as object } as OrderEvent)
            }
            return state
          })),
        ours: () =>
          replays(
            Effect.flatMap(Store.aggregate(order), (orders) => orders.state("1")).pipe(
              Effect.map(({ state }) => state),
              Effect.provideService(EventStore.EventStore, events)
            )
          )
      }
    })
}

export const experiments: ReadonlyArray<Experiment> = [reducer, store, replay]
