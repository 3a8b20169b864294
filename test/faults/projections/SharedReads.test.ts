/**
 * Projections of one process share their reads of the log. At the seams between what is shared and what each reads for
 * itself nothing may be skipped or doubled, whatever the speeds, the joins and the failures; and ten that follow the head
 * cost one read for each wake-up, where the control, without sharing, costs ten.
 */
import { EventStore, type LogPage, type ReadAllOptions, type Service } from "@composable-ts/core/EventStore"
import { EventStoreError } from "@composable-ts/core/EventStoreError"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
import { nameOf, type RecordedEvent } from "@composable-ts/core/RecordedEvent"
import * as StreamId from "@composable-ts/core/StreamId"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as Projection from "@composable-ts/projections/Projection"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Result } from "effect"
import { isReadonlyArrayNonEmpty } from "effect/Array"
import * as LogReader from "../../../packages/projections/src/internal/LogReader.ts"
import * as Tally from "../../../packages/projections/test/Votes.ts"
import { seeded } from "./Seed.ts"

/** Ten projections that read each for itself hold two connections each. */
const database = Layer.unwrap(
  Effect.map(
    PgClient.PgClient,
    ({ config }) =>
      PostgresEventStore.layer().pipe(Layer.provideMerge(PgClient.layer({ ...config, maxConnections: 21 })))
  )
).pipe(Layer.provideMerge(TestDatabase.layerMigrated("log", PostgresEventStore.layer())))

const isIn = (partition: ReadAllOptions["partition"], store: Service, { streamId }: RecordedEvent) =>
  partition === undefined || store.partitionOf!(streamId, partition.count) === partition.index

/** Appends some events to one of a few streams, in one commit. */
const appendSome = (store: Service, random: () => number) => {
  const events = Array.from({ length: 1 + Math.floor(random() * (random() < 0.1 ? 900 : 12)) }, (_, i) => {
    const kind = random()
    return kind < 0.6 ? Tally.voted("a", i) : kind < 0.9 ? Tally.withdrawn("b") : Tally.noted(`${i}`)
  })
  const streamId = Result.getOrThrow(StreamId.make("votes", `${Math.floor(random() * 9)}`))
  return isReadonlyArrayNonEmpty(events) ? store.append(streamId, ExpectedVersion.any, events) : Effect.void
}

const failure = (random: () => number) =>
  new EventStoreError({
    operation: "read the log",
    reason: random() < 0.5 ? "StatementTimeout" : "Unreachable",
    retryable: true,
    cause: new Error("by chance")
  })

/** The whole of a log. */
const wholeOf = (store: Service) =>
  Effect.gen(function*() {
    const all: Array<RecordedEvent> = []
    while (true) {
      const page = yield* store.readAll({ after: BigInt(all.length), limit: 2_000 })
      all.push(...page.events)
      if (page.position >= page.head) return all
    }
  })

/** Readers of all kinds follow a log that grows, and each must have read exactly what it wants. */
const chaos = (store: Service, random: () => number, readers: number, appends: number) =>
  Effect.gen(function*() {
    let reads = 0
    let shared = 0
    const flaky: Service = {
      ...store,
      readAll: (options) =>
        Effect.suspend(() => {
          reads++
          return random() < 0.1 ? Effect.fail(failure(random)) : Effect.tap(
            store.readAll(options),
            random() < 0.5 ? Effect.sleep(random() * 3) : Effect.void
          )
        })
    }
    const filters: ReadonlyArray<LogReader.Wanted> = [
      {},
      { names: ["Voted"] },
      { names: ["Withdrawn", "Noted"] },
      { names: ["Noted"] },
      { partition: { index: 0, count: 2 } },
      { names: ["Voted"], partition: { index: 1, count: 2 } },
      { names: ["Voted"], partition: { index: 2, count: 3 } }
    ]
    let end = Infinity
    const follow = (i: number) =>
      Effect.gen(function*() {
        const wanted = filters[i % filters.length]!
        const delay = random() < 0.3 ? 0 : random() * 8
        const got: Array<RecordedEvent> = []
        yield* Effect.sleep(random() * 100)
        const from = BigInt(Math.floor(random() * 40))
        let at = from
        let last: string | undefined
        let due = random() * 60
        while (Number(at) < end) {
          // Comes and goes, and each time where it was.
          yield* Effect.scoped(Effect.gen(function*() {
            const reader = yield* LogReader.join(flaky, wanted)
            due = random() * 60
            while (Number(at) < end && due-- > 0) {
              const exit = yield* Effect.exit(
                random() < 0.05
                  ? Effect.timeout(reader.read(at), random() * 2)
                  : reader.read(at)
              )
              if (Exit.isFailure(exit)) {
                assert.isTrue(exit.cause.reasons.every(({ _tag }) => _tag === "Fail"), String(exit.cause))
                continue
              }
              const page: LogReader.Page = exit.value
              if (last !== undefined) assert.strictEqual(page.previousEventId, last, `reader ${i} at ${at}`)
              if (page.position > at) last = page.lastEventId
              got.push(...page.events)
              shared += page.position > at ? 1 : 0
              at = page.position
              if (delay > 0) yield* Effect.sleep(random() * delay)
              if (page.position >= page.head && Number(at) < end) {
                yield* reader.appendedSince(page)
              }
            }
          }))
        }
        return { wanted, from, got }
      })
    const fibers = yield* Effect.forEach(
      Array.from({ length: readers }, (_, i) => i),
      (i) => Effect.forkChild(follow(i))
    )
    for (let i = 0; i < appends; i++) {
      yield* appendSome(store, random)
      if (random() < 0.5) yield* Effect.sleep(random() * 4)
    }
    const all = yield* wholeOf(store)
    end = all.length + 1
    // The last: nobody has come to the end before it is there.
    yield* store.append(Result.getOrThrow(StreamId.make("votes", "1")), ExpectedVersion.any, [Tally.voted("z")])
    const whole = yield* wholeOf(store)
    for (const fiber of fibers) {
      const { from, got, wanted } = yield* Fiber.join(fiber)
      const expected = whole.filter((event) =>
        event.globalPosition > from && (wanted.names === undefined || wanted.names.includes(nameOf(event.type))) &&
        isIn(wanted.partition, store, event)
      )
      assert.deepStrictEqual(
        got.map(({ globalPosition }) => globalPosition),
        expected.map(({ globalPosition }) => globalPosition),
        JSON.stringify(wanted)
      )
    }
    return { reads, shared }
  })

const rounds = Number(process.env["ROUNDS"] ?? "3")

describe("readers of one log, at random speeds, that come and go while reads fail", () => {
  it.live("each read exactly what they want, on the memory's store", () =>
    Effect.gen(function*() {
      const { random } = seeded()
      for (let round = 0; round < rounds; round++) {
        const { reads, shared } = yield* Effect.flatMap(EventStore, (store) => chaos(store, random, 12, 120)).pipe(
          Effect.provide(MemoryEventStore.layer)
        )
        assert.isBelow(reads, shared, "nothing was shared")
      }
    }), 20_000 + rounds * 10_000)

  it.live("each read exactly what they want, on PostgreSQL", () =>
    Effect.gen(function*() {
      const { random } = seeded()
      const store = yield* EventStore
      const { reads, shared } = yield* chaos(store, random, 12, 40 * rounds)
      assert.isBelow(reads, shared, "nothing was shared")
    }).pipe(Effect.provide(database)), 20_000 + rounds * 10_000)
})

const names = Array.from({ length: 10 }, (_, i) => ({ ...Tally.main, name: `t${i}` }))

/** How many reads of the log ten tallies need for so many appends, each of which they reach before the next. */
const readsOf = (appends: number, storeOf: (counting: Service) => Service) =>
  Effect.gen(function*() {
    const store = yield* EventStore
    const pages: Array<LogPage> = []
    const counting: Service = {
      ...store,
      readAll: (options) => Effect.tap(store.readAll(options), (page) => Effect.sync(() => pages.push(page)))
    }
    yield* Tally.appendVotes(20)
    const runs = yield* Effect.forEach(names, (name) =>
      Effect.forkChild(Effect.provideService(Projection.run(Tally.tally(name)), EventStore, storeOf(counting))))
    const untilAll = (position: bigint) =>
      Effect.forEach(names, (name) => Tally.until(position, name), { discard: true })
    yield* untilAll(20n)
    pages.length = 0
    for (let i = 1; i <= appends; i++) yield* untilAll(yield* Tally.append(Tally.voted("a"), Tally.noted("between")))
    const reads = pages.filter(({ events, position, head }) => events.length > 0 || position < head).length
    for (const name of names) assert.strictEqual(yield* Tally.verify(name), BigInt(20 + 2 * appends))
    yield* Fiber.interruptAll(runs)
    return reads
  })

describe("ten projections that follow the head", () => {
  const appends = 20

  it.live("cost one read of the log for each append, not ten", () =>
    Effect.gen(function*() {
      const reads = yield* readsOf(appends, (store) => store)
      assert.isAtLeast(reads, appends)
      assert.isAtMost(reads, appends + appends / 2)
    }).pipe(Effect.provide(database)))

  it.live("control: cost ten, if each has an event store of its own", () =>
    Effect.gen(function*() {
      assert.isAtLeast(yield* readsOf(appends, (store) => ({ ...store })), 10 * appends)
    }).pipe(Effect.provide(database)))
})
