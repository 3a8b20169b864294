/**
 * Writers that append without end, on hot streams, in every way there is. What became of each append is in the log's
 * history.
 */
import type { Service } from "@composable-ts/core/EventStore"
import type { AppendError } from "@composable-ts/core/EventStoreError"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import { Array, Effect, Fiber, type Scope } from "effect"
import { several, stream } from "../../../packages/postgres/test/Facts.ts"
import { random as seeded } from "../../../packages/postgres/test/NastyJson.ts"

export interface Options {
  readonly stores: ReadonlyArray<Service>
  readonly writers: number
  readonly streams: number
  readonly seed: number
}

/** Starts them; the effect returned stops them, and waits until each has the outcome of its last append. */
export const start = ({ seed, stores, streams, writers }: Options): Effect.Effect<
  Effect.Effect<void>,
  never,
  Scope.Scope
> =>
  Effect.gen(function*() {
    let stopped = false
    const versions = new Map<string, number>()
    const writer = (index: number) => {
      const random = seeded(seed + index)
      const below = (bound: number) => Math.floor(random() * bound)
      const store = stores[index % stores.length]!
      const anyStream = () => stream(`hot-${below(streams)}`)
      const step = Effect.suspend((): Effect.Effect<unknown, AppendError> => {
        const streamId = anyStream()
        switch (below(5)) {
          case 0:
            return store.transact([
              { streamId, expected: ExpectedVersion.any, events: several(1) },
              { streamId: anyStream(), expected: ExpectedVersion.any, events: several(2) }
            ])
          case 1:
            return Effect.tap(
              store.append(streamId, ExpectedVersion.exact(versions.get(streamId) ?? -1), several(1)),
              ({ version }) => Effect.sync(() => versions.set(streamId, version))
            )
          default:
            return Effect.tap(
              store.append(streamId, ExpectedVersion.any, several(1 + below(3))),
              ({ version }) => Effect.sync(() => versions.set(streamId, version))
            )
        }
      })
      return Effect.whileLoop({ while: () => !stopped, body: () => Effect.exit(step), step: () => {} })
    }
    const fibers = yield* Effect.forEach(Array.range(0, writers - 1), (index) => Effect.forkScoped(writer(index)))
    return Effect.suspend(() => {
      stopped = true
      return Effect.forEach(fibers, Fiber.join, { discard: true })
    })
  })
