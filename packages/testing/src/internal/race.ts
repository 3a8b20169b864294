/**
 * Commands that race for one instance of an aggregate.
 */
import type { Meta } from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import type { AggregateStore, Outcome } from "@composable-ts/core/AggregateStore"
import { EventStore, type Service } from "@composable-ts/core/EventStore"
import * as Fx from "@composable-ts/core/Fx"
import * as Store from "@composable-ts/core/Store"
import * as UuidV7 from "@composable-ts/core/UuidV7"
import * as Effect from "effect/Effect"
import type * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { differences, equal } from "./differences.ts"
import { type Dispatched, flawOf } from "./linearized.ts"

type Tag = { readonly _tag: string }

/** Commands, each with how many turns of the scheduler it lets pass before it begins and before each thing it does. */
export type Raced<C> = ReadonlyArray<{ readonly command: C; readonly pause: number }>

/** As many stores over the one log, each with states of its own in memory, as so many processes would have. */
const processes = 3

/**
 * The aggregate without anything but its events, so that nothing has to be there that carries out the rest. It notes what
 * each command was decided with.
 */
const quiet = <S, C extends Tag, E extends Tag, R, N>(
  aggregate: Aggregate.Aggregate<S, C, E, R, N>,
  metas: Map<string, Meta>
): Aggregate.Aggregate<S, C, E, R> => ({
  actions: aggregate.actions,
  category: aggregate.category,
  initial: aggregate.initial,
  evolve: aggregate.evolve,
  reduce: aggregate.reduce,
  react: () => Fx.none,
  outcomes: {},
  snapshot: undefined,
  decide: (state, command, meta) => {
    metas.set(meta.id, meta)
    const { events: [first, ...rest], refusal } = Aggregate.step(aggregate, state, command, meta)
    return refusal ?? (first === undefined ? Fx.none : Fx.append(first, ...rest))
  }
})

/** Lets others in between whatever the store does, which one in memory would not do of itself. */
const paused = (store: Service, pause: number): Service => {
  const turns = Effect.forEach(Array.from({ length: pause }), () => Effect.yieldNow, { discard: true })
  return {
    ...store,
    append: (...append) => Effect.andThen(turns, store.append(...append)),
    load: (...load) => Stream.unwrap(Effect.as(turns, store.load(...load)))
  }
}

/** Dispatches the commands at the same time; says what is wrong with what comes of it. */
export const race = <S, C extends Tag, E extends Tag, R, N>(
  aggregate: Aggregate.Aggregate<S, C, E, R, N>,
  raced: Raced<C>
): Effect.Effect<string | undefined, never, EventStore> =>
  Effect.gen(function*() {
    const log = yield* EventStore
    const metas = new Map<string, Meta>()
    const runner = quiet(aggregate, metas)
    const id = `race-${UuidV7.make(Date.now())}`
    // Whoever meets a conflict has been overtaken by a command that is done, so this many are enough for each.
    const conflictSchedule = Schedule.recurs(raced.length)
    const stores: Array<AggregateStore<S, C, E, R>> = []
    for (let i = 0; i < processes; i++) {
      const { pause } = raced[i % raced.length]!
      stores.push(
        yield* Effect.provideService(Store.aggregate(runner, { conflictSchedule }), EventStore, paused(log, pause))
      )
    }
    const dispatched = yield* Effect.forEach(
      raced,
      ({ command, pause }, index) => {
        const commandId = `${id}-${index}`
        const store = stores[(index + pause) % processes]!
        const dispatch = Effect.suspend(() => store.dispatch(id, command, { commandId }))
        return Effect.map(
          Effect.result(Effect.repeat(Effect.yieldNow, { times: pause }).pipe(Effect.andThen(dispatch))),
          (result: Result.Result<Outcome<S, E>, unknown>): Dispatched<S, C, E> => ({
            command,
            meta: metas.get(commandId) ?? { id: commandId, time: 0, correlationId: commandId, causationId: commandId },
            result
          })
        )
      },
      { concurrency: "unbounded" }
    )
    const history = yield* Stream.runCollect(stores[0]!.history(id))
    const flaw = flawOf(aggregate, dispatched, history)
    if (flaw !== undefined) return flaw
    const states = yield* Effect.forEach(stores, (store) => store.state(id))
    return stateFlaw(runner, history.map(({ event }) => event), states.map(({ state }) => state))
  }).pipe(Effect.catch((error) => Effect.succeed(`the log could not be read: ${String(error)}`)))

const stateFlaw = <S, C extends Tag, E extends Tag, R>(
  { evolve, initial }: Aggregate.Aggregate<S, C, E, R>,
  events: ReadonlyArray<E>,
  states: ReadonlyArray<S>
): string | undefined => {
  const serial = events.reduce<S>(evolve, initial)
  const wrong = states.find((state) => !equal(serial, state))
  return wrong === undefined ?
    undefined :
    `a store shows another state in the end: ${differences(serial, wrong).join("; ")}`
}
