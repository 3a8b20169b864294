/**
 * A process of clients: a program that `Clients` starts, and kills. It appends and reads, or follows the
 * log, and writes down what it does and sees.
 */
import type { AppendResult, Service } from "@composable-ts/core/EventStore"
import type { AppendError, LogReadError, StreamReadError } from "@composable-ts/core/EventStoreError"
import type { ExpectedVersion } from "@composable-ts/core/ExpectedVersion"
import type { StreamId } from "@composable-ts/core/StreamId"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as PgClient from "@effect/sql-pg/PgClient"
import { Array, Cause, Effect, Exit, Redacted, References, Schedule, Stream } from "effect"
import * as Reactivity from "effect/reactivity/Reactivity"
import { commandId, noted, stream } from "../../../packages/postgres/test/Facts.ts"
import { random as seeded } from "../../../packages/postgres/test/NastyJson.ts"
import {
  applicationName,
  type Common,
  type Message,
  type Role,
  type Subscribers,
  type Target,
  type Writers
} from "./Clients.ts"
import { type Call, markOf, type Outcome, type Part, type Recorder, recorder, seen } from "./Operation.ts"

const open = ({ schema }: Common, { startupParameters, url }: Target) =>
  Effect.gen(function*() {
    const client = yield* PgClient.make({
      url: Redacted.make(url),
      maxConnections: 3,
      applicationName,
      ...(startupParameters && { startupParameters })
    }).pipe(Effect.provide(Reactivity.layer))
    return yield* Effect.provideService(PostgresEventStore.make({ schema }), PgClient.PgClient, client)
  })

/** The beginning is under fire as well. */
const patience = Schedule.spaced("50 millis").pipe(Schedule.upTo({ duration: "20 seconds" }))

type Failure = AppendError | StreamReadError | LogReadError

const failure = (cause: Cause.Cause<Failure>): Outcome => {
  const why = Cause.pretty(cause)
  if (cause.reasons.some((reason) => Cause.isDieReason(reason))) return { _tag: "Unexpected", why }
  const [reason] = cause.reasons
  if (reason === undefined || !Cause.isFailReason(reason)) return { _tag: "Unknown", why, retryable: true }
  const { error } = reason
  switch (error._tag) {
    case "VersionConflict":
      return { _tag: "Conflict", streamId: error.streamId, expected: error.expected, actual: error.actual }
    case "EventStoreError":
      return { _tag: "Unknown", why, retryable: error.retryable }
    default:
      return { _tag: "Unexpected", why }
  }
}

class Writer {
  readonly #versions = new Map<string, number>()
  readonly #name: string
  readonly #record: Recorder
  readonly #store: Service
  readonly #role: Writers
  readonly #random: () => number
  /** Commands to send again: they were answered, or not. */
  readonly #again: Array<{ readonly commandId: string; readonly parts: ReadonlyArray<Part> }> = []

  constructor(role: Writers, { name, record, seed, store }: {
    readonly name: string
    readonly seed: number
    readonly store: Service
    readonly record: Recorder
  }) {
    this.#role = role
    this.#name = name
    this.#random = seeded(seed)
    this.#store = store
    this.#record = record
  }

  #below(bound: number): number {
    return Math.floor(this.#random() * bound)
  }

  #recorded<A, E extends Failure>(call: Call, effect: Effect.Effect<A, E>, outcome: (a: A) => Outcome) {
    return Effect.suspend(() => {
      const end = this.#record.begin(this.#name, call)
      return Effect.onExit(
        effect,
        (exit) => Effect.sync(() => end(Exit.isSuccess(exit) ? outcome(exit.value) : failure(exit.cause)))
      )
    })
  }

  #anyStream(): StreamId {
    // One in ten is new, most likely.
    return this.#below(10) === 0
      ? stream(`new-${this.#below(1_000_000)}`)
      : stream(`hot-${this.#below(this.#role.streams)}`)
  }

  #part(streamId: StreamId): Part {
    const size = 1 + (this.#below(3) === 0 ? this.#below(4) : 0)
    const version = this.#versions.get(streamId) ?? -1
    const expected: ReadonlyArray<ExpectedVersion> = [
      { _tag: "Any" },
      version < 0 ? { _tag: "NoStream" } : { _tag: "Exact", version },
      version < 0 ? { _tag: "Any" } : { _tag: "Exact", version },
      this.#below(4) === 0 ? { _tag: "NoStream" } : { _tag: "StreamExists" }
    ]
    return { streamId, expected: expected[this.#below(4)]!, size }
  }

  #append(command: { readonly commandId: string; readonly parts: ReadonlyArray<Part> }): Effect.Effect<unknown> {
    const { commandId, parts } = command
    let index = 0
    const appends = parts.map(({ expected, size, streamId }) => ({
      streamId: streamId as StreamId,
      expected,
      events: Array.makeBy(size, () => noted(markOf(commandId, index++)))
    }))
    const results: Effect.Effect<ReadonlyArray<AppendResult>, AppendError> = appends.length === 1
      ? Effect.map(
        this.#store.append(appends[0]!.streamId, appends[0]!.expected, appends[0]!.events, { commandId }),
        (result): ReadonlyArray<AppendResult> => [result]
      )
      : this.#store.transact([appends[0]!, ...appends.slice(1)], { commandId })
    const append = this.#recorded({ _tag: "Append", commandId, parts }, results, (results) => {
      results.forEach(({ version }, i) => this.#versions.set(parts[i]!.streamId, version))
      if (this.#below(20) === 0) this.#again.push(command)
      return {
        _tag: "Stored",
        results: results.map(({ duplicate, globalPosition, version }) => ({
          version,
          position: globalPosition,
          duplicate
        }))
      }
    })
    const patient: Effect.Effect<unknown, AppendError> = this.#below(10_000) < this.#role.impatient
      ? Effect.timeoutOption(append, this.#below(20))
      : append
    return Effect.catchCause(patient, (cause) =>
      Effect.sync(() => {
        const error = Cause.findErrorOption(cause)
        if (error._tag === "Some" && error.value._tag === "VersionConflict") {
          this.#versions.set(error.value.streamId, error.value.actual)
        }
        if (error._tag === "None" || error.value._tag === "EventStoreError") this.#again.push(command)
      }))
  }

  readonly step: Effect.Effect<unknown> = Effect.suspend(() => {
    switch (this.#below(10)) {
      case 0: {
        const streamId = this.#anyStream()
        return Effect.ignore(this.#recorded(
          { _tag: "ReadStream", streamId },
          this.#store.read(streamId),
          (events) => {
            this.#versions.set(streamId, events.length - 1)
            return { _tag: "Stream", events: events.map(seen) }
          }
        ))
      }
      case 1: {
        const limit = 1 + this.#below(50)
        return Effect.ignore(Effect.flatMap(
          this.#store.readAll({ after: 0n, limit: 0 }),
          ({ head }) => {
            const after = BigInt(Math.max(0, Number(head) - this.#below(60)))
            return this.#recorded(
              { _tag: "ReadLog", after, limit },
              this.#store.readAll({ after, limit }),
              ({ events, head, position }) => ({ _tag: "Page", events: events.map(seen), position, head })
            )
          }
        ))
      }
      case 2:
      case 3: {
        const again = this.#again.shift()
        if (again !== undefined) return this.#append(again)
        return this.#append({ commandId: commandId(), parts: [this.#part(this.#anyStream())] })
      }
      case 4:
      case 5: {
        // Drawn at random, so in opposite orders by different writers.
        const streams = new Set(Array.makeBy(2 + this.#below(2), () => this.#anyStream()))
        return this.#append({ commandId: commandId(), parts: [...streams].map((streamId) => this.#part(streamId)) })
      }
      default:
        return this.#append({ commandId: commandId(), parts: [this.#part(this.#anyStream())] })
    }
  })
}

const write = (role: Writers, record: Recorder) =>
  Effect.forEach(role.targets, (target, i) =>
    Effect.gen(function*() {
      const store = yield* Effect.retry(open(role, target), patience)
      yield* Effect.forEach(Array.range(1, role.writers), (nr) => {
        const seed = role.seed * 1_009 + i * 101 + nr
        const writer = new Writer(role, { name: `${role.name}/${i}.${nr}`, seed, store, record })
        return Effect.repeat(writer.step, { times: role.operations - 1 })
      }, { concurrency: "unbounded" })
    }), { concurrency: "unbounded", discard: true })

const follow = (role: Subscribers, record: Recorder) =>
  Effect.forEach(role.targets, (target, i) =>
    Effect.gen(function*() {
      const store = yield* Effect.retry(open(role, target), patience)
      const subscriber = `subscriber-${i}`
      let after = BigInt(role.after[i] ?? 0)
      const run = Effect.suspend(() =>
        store.subscribe({ after }).pipe(Stream.runForEach((event) =>
          Effect.sync(() => {
            record.deliver(subscriber, seen(event))
            after = event.globalPosition
            positions[i] = String(after)
          })
        ))
      )
      yield* Effect.retry(run, {
        schedule: Schedule.spaced("20 millis"),
        while: (error) => error._tag === "EventStoreError" && error.retryable
      })
    }), { concurrency: "unbounded", discard: true })

const role = JSON.parse(process.argv[2] ?? "") as Role
const positions: Array<string> = []
const tell = (message: Message): void => void process.send?.(message)

const program: Effect.Effect<void, unknown> = Effect.scoped(
  role._tag === "Writers"
    ? write(role, recorder(role.file))
    : Effect.raceFirst(
      follow(role, recorder(role.file)),
      Effect.forever(
        Effect.andThen(Effect.sleep("20 millis"), Effect.sync(() => tell({ _tag: "Delivered", positions })))
      )
    )
).pipe(
  // Connections are lost here on purpose; what comes of it is in the records.
  Effect.provideService(References.MinimumLogLevel, "Error")
)

// Nobody reads the records of a process whose parent is gone.
process.on("disconnect", () => process.exit(1))
tell({ _tag: "Ready" })
await Effect.runPromise(program)
process.exit(0)
