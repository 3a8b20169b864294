/**
 * Follows one part of the log for one subscriber, under one lease: claims the checkpoint, then reads page by page and
 * applies each in a transaction that also moves the checkpoint. The next pages are read while one is applied, see
 * `readAhead`, and for all who stand there at once, see `LogReader`.
 *
 * Whatever interrupts the order of things (a lost connection, a commit whose answer was lost, a checkpoint that somebody
 * moved) leads back to the claim, which tells how far the read model is for certain. And every page tells which event
 * stands at the checkpoint, so not one is applied that belongs to another log.
 */
import { EventStore, type LogPage, type ReadAllOptions } from "@composable-ts/core/EventStore"
import type { LogReadError } from "@composable-ts/core/EventStoreError"
import * as LogRead from "@composable-ts/core/LogRead"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { Checkpoints, type Mark } from "../Checkpoint.ts"
import type { Held, Part, Subscriber } from "../Lease.ts"
import {
  CheckpointAhead,
  type CheckpointMissing,
  type LeaseLost,
  LogMismatch,
  ProjectionFailed
} from "../ProjectionError.ts"
import type { Subscription } from "../Subscription.ts"
import * as Bisection from "./bisection.ts"
import { explain } from "./explain.ts"
import { isIndivisible, isOutage, kindOf, throughContention, throughOutages } from "./failures.ts"
import { delivering } from "./handOver.ts"
import { begunInTime, inTime } from "./inTime.ts"
import * as LogReader from "./LogReader.ts"
import * as Poisoned from "./poison.ts"
import * as ReadAhead from "./readAhead.ts"
import * as Silence from "./silence.ts"
import { nameOf } from "./subject.ts"
import * as WorkerMetrics from "./WorkerMetrics.ts"

/** What a worker and its surroundings tell each other. */
export interface Surroundings {
  /** Opened when the worker shall stop at the next border of a batch. */
  readonly leaving: Latch.Latch
  /** Writes down what the worker waits for because it is away, or that it goes on (`undefined`). */
  readonly waits: (what: string | undefined) => Effect.Effect<void, SqlError>
  /** How long to wait for the database to answer the worker itself. */
  readonly patience: Duration.Duration
  /** Whether the server is at work for the transaction that moves the checkpoint. */
  readonly isAtWork: Silence.IsAtWork
  /** Told how far the read model is, after each commit. */
  readonly moved: (held: Held, position: bigint) => void
}

/** Why a worker does not go on. */
export type Ended = ProjectionFailed | CheckpointAhead | CheckpointMissing | LogMismatch | LogReadError | SqlError

/**
 * Whatever goes wrong in a transaction of the read model, up to its commit, is the failure of what it was to apply: a
 * handler may swallow the error that broke the transaction, and a lost connection may show as a defect.
 */
export const failsAs = (
  { name: projection, version }: Subscriber,
  { after, upTo }: { readonly after: bigint; readonly upTo: bigint }
) =>
<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, ProjectionFailed, R> =>
  Effect.catchCause(
    effect,
    (cause) => Effect.fail(new ProjectionFailed({ projection, version, after, upTo, cause: Cause.squash(cause) }))
  )

/** Fails unless a page that was read from a mark belongs to the log that was read up to there. */
export const sameLog = (part: Part, mark: Mark, page: LogPage): Effect.Effect<void, CheckpointAhead | LogMismatch> => {
  const { name: projection, partition, version } = part
  const { eventId: read, position } = mark
  if (page.head < position) {
    return Effect.fail(new CheckpointAhead({ projection, version, checkpoint: position, head: page.head }))
  }
  return read === undefined || read === page.previousEventId
    ? Effect.void
    : Effect.fail(new LogMismatch({ projection, version, partition, position, read, found: page.previousEventId }))
}

const endOf = ({ lastEventId, position }: LogPage): Mark => ({ position, eventId: lastEventId })

/** A page that was applied, as the metrics have it. */
const batchOf = ({ events, head, position }: LogPage, start: number, end: number): WorkerMetrics.Batch => ({
  events: events.length,
  milliseconds: end - start,
  left: head - position,
  age: events[0] === undefined ? undefined : start - events[0].recordedAt
})

/** Works until it shall leave. */
export const work = <R>(
  subscription: Subscription<R>,
  held: Held,
  { isAtWork, leaving, moved, patience, waits }: Surroundings
): Effect.Effect<void, Ended | LeaseLost, R | EventStore | SqlClient.SqlClient | Checkpoints> => {
  const { events: names, partitions } = subscription
  const filter: Pick<ReadAllOptions, "names" | "partition"> = partitions === 1 || subscription.reads === "everything"
    ? { names }
    : { names, partition: { index: held.partition, count: partitions } }

  const read = (after: bigint, limit: number) =>
    Effect.flatMap(EventStore, (events) => LogRead.inLess(events.readAll)({ after, limit, ...filter }))

  const queues = Poisoned.make(subscription, held, nameOf(held))

  const claim = throughContention(
    inTime(
      "claim of a checkpoint",
      patience,
      Effect.flatMap(Checkpoints, (checkpoints) => Effect.tap(checkpoints.claim(held), queues.load))
    )
  )

  const silence = Silence.make(isAtWork, Duration.divideUnsafe(patience, 2))

  /** Moves the checkpoint over a page, and does in the same transaction what belongs to it; see {@link apply}. */
  const pass = <E>(mark: Mark, page: LogPage, deed: Effect.Effect<unknown, E, R | SqlClient.SqlClient>) =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const checkpoints = yield* Checkpoints
      // The handlers may take their time, but a connection that has died unnoticed answers not even what comes before.
      return yield* begunInTime(
        "move of a checkpoint",
        patience,
        (begun) =>
          sql.withTransaction(Effect.gen(function*() {
            // First of all: whoever claims the checkpoint waits for this transaction, or ends it.
            const isOwn = yield* checkpoints.advance(held, mark, { ...endOf(page), events: page.events.length })
            yield* begun(yield* silence.inTransaction(sql))
            if (!isOwn) return undefined
            yield* deed
            return endOf(page)
          }))
      ).pipe(
        Effect.tap(() => Effect.sync(silence.broken)),
        failsAs(held, { after: mark.position, upTo: page.position }),
        throughContention
      )
    })

  const bisection = Bisection.make()

  /**
   * Applies a page. Tells how far the read model is then: as far as before, if it is to be tried in parts; `undefined` when
   * the checkpoint was not where it should be.
   */
  const apply = (mark: Mark, page: LogPage) =>
    pass(mark, page, queues.apply(page)).pipe(
      Effect.tap(() => Effect.sync(() => bisection.applied(page.position))),
      // Of a batch that fails, what stands before the culprit is applied, and then that alone is named.
      Effect.catchTag("ProjectionFailed", (failed) => {
        if (failed.upTo - failed.after === 1n) {
          bisection.settled()
          return queues.settle({ failed, page, leaving, pass: (deed) => pass(mark, page, deed) })
        }
        if (isIndivisible(failed)) return Effect.fail(failed)
        bisection.failed(failed.upTo)
        return Effect.succeed(mark)
      })
    )

  /**
   * Makes sure that nobody has read another log for this subscriber. At a checkpoint there is an event that tells; where
   * all checkpoints stand at the beginning, only this does.
   */
  const identify = Effect.gen(function*() {
    const { previousEventId: found } = yield* (yield* EventStore).readAll({ after: 1n, limit: 0 })
    if (found === undefined) return false
    const read = yield* (yield* Checkpoints).identify(held, found)
    if (read === undefined || read === found) return true
    const { name: projection, partition, version } = held
    return yield* new LogMismatch({ projection, version, partition, position: 1n, read, found })
  })

  const step = delivering(subscription, held, leaving, apply)

  const follow = (log: LogReader.Reader, metrics: WorkerMetrics.WorkerMetrics) => {
    let ahead: ReadAhead.ReadAhead | undefined
    const readNoFurther = () => {
      ahead?.stop()
      ahead = undefined
    }
    return Effect.ensuring(
      Effect.gen(function*() {
        const clock = yield* Clock.Clock
        let mark = yield* claim
        if (metrics.isWaiting()) yield* waits(undefined)
        metrics.follows()
        // Not yet where the log is empty.
        let isIdentified = yield* identify
        moved(held, mark.position)
        while (!Latch.isOpen(leaving)) {
          const limit = bisection.limitBehind(mark.position)
          const page = yield* limit !== undefined
            ? Effect.map(read(mark.position, limit), (page) => ({ ...page, asOf: -1 }))
            : ahead === undefined
            ? log.read(mark.position)
            : ahead.take
          yield* sameLog(held, mark, page)
          if (page.position > mark.position) {
            if (!isIdentified) isIdentified = yield* identify
            if (page.position >= page.head) ahead = undefined
            else if (limit === undefined) ahead ??= yield* ReadAhead.behind(log, page)
            const start = clock.currentTimeMillisUnsafe()
            const reached = yield* step(mark, page)
            if (reached?.position === page.position) {
              metrics.applied(batchOf(page, start, clock.currentTimeMillisUnsafe()))
            }
            mark = reached ?? (yield* claim)
            moved(held, mark.position)
            if (mark.position !== page.position) {
              readNoFurther()
              continue
            }
          }
          if (page.position >= page.head) {
            metrics.caughtUp()
            yield* Effect.raceFirst(log.appendedSince(page), leaving.await)
          }
        }
      }),
      Effect.sync(readNoFurther)
    )
  }

  /** For people. Where it cannot be written the database that would tell them is away itself. */
  const note = (error: Ended | LeaseLost) =>
    waits(explain(error)).pipe(
      Effect.timeoutOption("1 second"),
      Effect.tapError((unwritten) =>
        Effect.logDebug(`${nameOf(held)}: that it waits could not be written down`, unwritten)
      ),
      Effect.ignore
    )

  return Effect.scoped(Effect.gen(function*() {
    const log = yield* throughOutages(nameOf(held))(LogReader.join(yield* EventStore, filter))
    const metrics = WorkerMetrics.make(held, yield* Effect.context<never>())
    metrics.begun()
    yield* follow(log, metrics).pipe(
      Effect.tapError((error) =>
        isOutage(error) ? Effect.andThen(Effect.sync(metrics.waiting), note(error)) : Effect.void
      ),
      throughOutages(nameOf(held)),
      Effect.tapError((error) => Effect.sync(() => metrics.failed(error._tag, kindOf(error)))),
      Effect.ensuring(Effect.sync(metrics.ceased))
    )
  }))
}
