/**
 * Reads that contain one's own writes: a read model follows the log a moment behind, and a command's outcome says at which
 * global position it stands. {@link Service.waitFor} waits until a read model contains a position, whichever process
 * keeps it up to date; {@link readAfter} waits and then reads.
 *
 * Whoever waits is woken by what the processes announce behind their commits. One look at the checkpoint serves all who
 * wait for one read model. Should an announcement be lost with its process, a look in every second makes up for it.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import type { MigrationError } from "effect/sql/Migrator"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import * as Checkpoint from "./Checkpoint.ts"
import { patiently } from "./internal/failures.ts"
import * as Progress from "./internal/progress.ts"
import { migrate } from "./internal/schema.ts"
import { onNotification } from "./internal/signals.ts"
import * as Versions from "./internal/versions.ts"
import { NotCaughtUp } from "./ProjectionError.ts"

/** What to wait for. */
export interface Token {
  /** Up to where the read model shall contain the log: what the outcome of a command says. */
  readonly position: bigint
  /** How long to wait at the most. */
  readonly timeout: Duration.Input
}

/**
 * Which read model: a version of a projection, or, without one, whichever version queries read by `ReadModel.versioned`.
 * What is read through the views behind such a wait contains the position, though the views be switched in between.
 */
export interface Model {
  readonly name: string
  readonly version?: number | undefined
}

/** Waits for read models. */
export interface Service {
  /** Waits until a read model contains the log up to a position, in all its partitions. Returns at once if it does. */
  readonly waitFor: (model: Model, token: Token) => Effect.Effect<void, NotCaughtUp | SqlError>
}

/** Waits for read models, in the database of the layer's `PgClient`. */
export class Consistency extends Context.Service<Consistency, Service>()("@composable-ts/projections/Consistency") {}

/** Somebody who waits. */
interface Waiter {
  readonly position: bigint
  readonly done: Deferred.Deferred<void, SqlError>
}

/** Those who wait for one read model. */
interface Watched {
  readonly subscriber: Model
  readonly waiters: Set<Waiter>
  /** How far it was when last looked at. */
  reached: bigint | undefined
}

const isReached = ({ reached }: Watched, { position }: Waiter): boolean => reached !== undefined && reached >= position

/** A version, by the text that announces its moves. Whatever moves of a projection may be what serves. */
const keyOf = ({ name, version }: Model): string =>
  version === undefined ? Progress.servingOf(name) : Progress.payloadOf({ name, version })

/** The least position of a read model. */
const reachedBy = (checkpoints: Checkpoint.Service) => ({ name, version }: Model) =>
  version === undefined
    ? Effect.map(Versions.of(name), (versions) =>
      Versions.least(versions.find(({ serving }) => serving)?.positions ?? []))
    : Effect.map(checkpoints.read({ name, version }), (parts) =>
      Versions.least(parts.map(({ position }) => position)))

/** Makes the tables, if they are missing, and begins to listen, on one connection of the client for all who wait. */
export const make: Effect.Effect<
  Service,
  SqlError | MigrationError,
  PgClient.PgClient | Scope.Scope
> = Effect.gen(function*() {
  const client = yield* PgClient.PgClient
  yield* Effect.provideService(migrate, SqlClient.SqlClient, client)
  const checkpoints = yield* Effect.provideService(Checkpoint.make, SqlClient.SqlClient, client)
  const watched = new Map<string, Watched>()
  const due = new Set<string>()
  const calls = yield* Queue.sliding<void>(1)

  const reached = reachedBy(checkpoints)
  const say = Progress.waiting(client)

  const wake = (key: string | undefined) => {
    const keys = key === undefined ? watched.keys() : Progress.awaitedBy(key)
    for (const each of keys) if (watched.has(each)) due.add(each)
    if (due.size > 0) Queue.offerUnsafe(calls, undefined)
  }

  const look = (key: string) =>
    Effect.gen(function*() {
      const model = watched.get(key)
      if (model === undefined) return
      const exit = yield* Effect.exit(
        patiently("Consistency")(Effect.provideService(reached(model.subscriber), SqlClient.SqlClient, client))
      )
      if (Exit.isSuccess(exit)) model.reached = exit.value
      let isEnough = true
      for (const waiter of model.waiters) {
        if (Exit.isFailure(exit)) yield* Deferred.failCause(waiter.done, exit.cause)
        else if (isReached(model, waiter)) yield* Deferred.succeed(waiter.done, undefined)
        else isEnough = false
      }
      if (isEnough) return
      yield* patiently("Consistency")(say(key)).pipe(Effect.catchCause((cause) =>
        Effect.forEach(model.waiters, ({ done }) => Deferred.failCause(done, cause), { discard: true })
      ))
    })

  yield* onNotification(client, Progress.channel, wake)
  yield* Effect.forkScoped(Effect.forever(Effect.gen(function*() {
    yield* Queue.take(calls)
    const keys = [...due]
    due.clear()
    yield* Effect.forEach(keys, look, { concurrency: 4, discard: true })
  })))
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sleep("1 second"), Effect.sync(() => wake(undefined)))))

  const waitFor: Service["waitFor"] = (subscriber, { position, timeout }) =>
    Effect.suspend(() => {
      const key = keyOf(subscriber)
      const model = watched.get(key) ?? { subscriber, waiters: new Set<Waiter>(), reached: undefined }
      watched.set(key, model)
      const waiter: Waiter = { position, done: Deferred.makeUnsafe() }
      model.waiters.add(waiter)
      wake(key)
      return Deferred.await(waiter.done).pipe(
        Effect.timeoutOption(timeout),
        Effect.flatMap((done) => {
          const { name: projection, version } = subscriber
          return Option.isSome(done)
            ? Effect.void
            : Effect.fail(new NotCaughtUp({ projection, version, position, reached: model.reached }))
        }),
        Effect.ensuring(Effect.sync(() => {
          model.waiters.delete(waiter)
          if (model.waiters.size === 0) watched.delete(key)
        }))
      )
    })
  return { waitFor }
})

/**
 * Provides waiting for the read models of the `PgClient`'s database; it takes one of its connections to listen.
 *
 * @example
 * ```ts no-run
 * import * as Consistency from "@composable-ts/projections/Consistency"
 * import * as Effect from "effect/Effect"
 *
 * declare const orders: { readonly name: string; readonly version: number }
 *
 * export const upTo = (position: bigint) =>
 *   Effect.flatMap(Consistency.Consistency, ({ waitFor }) => waitFor(orders, { position, timeout: "2 seconds" }))
 * ```
 */
export const layer: Layer.Layer<Consistency, SqlError | MigrationError, PgClient.PgClient> = Layer.effect(
  Consistency,
  make
)

/** Waits until a read model contains a position, and then reads. */
export const readAfter = (model: Model, token: Token) =>
<A, E, R>(
  query: Effect.Effect<A, E, R>
): Effect.Effect<A, E | NotCaughtUp | SqlError, R | Consistency> =>
  Effect.andThen(Effect.flatMap(Consistency, ({ waitFor }) => waitFor(model, token)), query)
