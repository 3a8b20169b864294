import type { RecordedEvent } from "@composable-ts/core/RecordedEvent"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { SqlClient } from "effect/sql"
import * as DeadLetter from "../src/DeadLetter.ts"
import * as Poison from "../src/Poison.ts"
import * as Projection from "../src/Projection.ts"
import { LetterMissing, LogMismatch, ReplayFailed, TransactionEnded } from "../src/ProjectionError.ts"
import * as Status from "../src/Status.ts"
import * as Chains from "./Chains.ts"

const database = TestDatabase.layerMigrated("log", PostgresEventStore.layer())

const sql = (statement: string) =>
  Effect.flatMap(SqlClient.SqlClient, (client) => client.unsafe<Readonly<Record<string, unknown>>>(statement))

const failsAt = (...positions: ReadonlyArray<bigint>): Chains.Misdeed => ({ globalPosition }) =>
  positions.includes(globalPosition) ? Effect.fail(`no ${globalPosition}`) : Effect.void

const healthy: Chains.Misdeed = () => Effect.void

const brief = ({ attempts, error, kind, position, streamId }: DeadLetter.DeadLetter) =>
  `${position} ${streamId} ${kind} ${attempts} ${error ?? "-"}`

const briefly = Effect.map(DeadLetter.list(Chains.main), (letters) => letters.map(brief))

const counts = Effect.map(
  Status.of(Chains.main),
  (parts) => parts.map(({ parked, parkedStreams, skipped }) => ({ parkedStreams, parked, skipped }))
)

const kinds = { "by a handler for each event": Chains.chains, "by batches": Chains.batchChains }

describe.each(Object.entries(kinds))("a projection %s", (_, make) => {
  it.live("skips, lists what it skipped, and applies it when it is replayed", () =>
    Effect.gen(function*() {
      yield* Chains.append("a", "b", "a", "b", "a")
      const projection = make(failsAt(1n, 4n), { poison: Poison.skip })
      assert.strictEqual(yield* Projection.catchUp(projection), 5n)
      yield* Chains.verify(({ globalPosition }) => globalPosition === 1n || globalPosition === 4n)
      assert.deepStrictEqual(yield* briefly, ["1 votes-a skipped 1 no 1", "4 votes-b skipped 1 no 4"])
      assert.deepStrictEqual(yield* counts, [{ parkedStreams: 0, parked: 0, skipped: 2 }])

      const again = yield* Effect.flip(DeadLetter.replaySkipped(projection, 4n))
      assert.instanceOf(again, ReplayFailed)
      assert.match(again.message, /could not apply the event at global position 4 of stream votes-b .*: no 4$/)
      assert.deepStrictEqual(yield* briefly, ["1 votes-a skipped 1 no 1", "4 votes-b skipped 2 no 4"])

      yield* DeadLetter.replaySkipped(make(healthy), 4n)
      // It is the last of its stream, so nothing shows that it came late.
      yield* Chains.verify(({ globalPosition }) => globalPosition === 1n)
      assert.instanceOf(yield* Effect.flip(DeadLetter.replaySkipped(projection, 4n)), LetterMissing)
      assert.strictEqual(yield* DeadLetter.discard(Chains.main, 1n), 1)
      assert.strictEqual(yield* DeadLetter.discard(Chains.main, 1n), 0)
      assert.deepStrictEqual(yield* briefly, [])
      yield* Chains.verify(({ globalPosition }) => globalPosition === 1n)
    }).pipe(Effect.provide(database)))

  it.live("parks a stream, applies the others, and the stream's queue when it is replayed", () =>
    Effect.gen(function*() {
      yield* Chains.append("a", "b", "a", "b", "a")
      const projection = make(failsAt(3n), { poison: Poison.park })
      assert.strictEqual(yield* Projection.catchUp(projection), 5n)
      yield* Chains.append("a", "b", "c")
      // A new owner, who has to ask what is parked.
      assert.strictEqual(yield* Projection.catchUp(projection), 8n)
      yield* Chains.verify(({ globalPosition, streamId }) => streamId === "votes-a" && globalPosition > 1n)
      assert.deepStrictEqual(yield* briefly, [
        "3 votes-a parked 1 no 3",
        "5 votes-a parked 0 -",
        "6 votes-a parked 0 -"
      ])
      assert.deepStrictEqual(yield* counts, [{ parkedStreams: 1, parked: 3, skipped: 0 }])
      const [parked, ...more] = yield* DeadLetter.parked(Chains.main)
      assert.lengthOf(more, 0)
      assert.deepInclude(parked, { ...Chains.main, partition: 0, streamId: "votes-a", events: 3, error: "no 3" })

      // A replay that fails further on keeps what it has applied.
      const again = yield* Effect.flip(DeadLetter.replay(make(failsAt(5n)), "votes-a"))
      assert.isTrue(again._tag === "ReplayFailed" && again.applied === 1 && again.position === 5n)
      assert.deepStrictEqual(yield* briefly, ["5 votes-a parked 1 no 5", "6 votes-a parked 0 -"])
      yield* Chains.verify(({ globalPosition, streamId }) => streamId === "votes-a" && globalPosition > 3n)

      assert.strictEqual(yield* DeadLetter.replay(make(healthy), "votes-a"), 2)
      assert.strictEqual(yield* DeadLetter.replay(make(healthy), "votes-a"), 0)
      yield* Chains.append("a", "c")
      yield* Projection.catchUp(projection)
      yield* Chains.verify()
      assert.deepStrictEqual(yield* counts, [{ parkedStreams: 0, parked: 0, skipped: 0 }])
      assert.deepStrictEqual(yield* DeadLetter.parked(Chains.main), [])
    }).pipe(Effect.provide(database)))
})

describe("DeadLetter", () => {
  it.live("lists page by page, and by stream", () =>
    Effect.gen(function*() {
      yield* Chains.append("a", "b", "a", "b", "a")
      yield* Projection.catchUp(Chains.chains(() => Effect.fail("all"), { poison: Poison.skip }))
      const page = (options: DeadLetter.ListOptions) =>
        Effect.map(DeadLetter.list(Chains.main, options), (letters) => letters.map(({ position }) => position))
      assert.deepStrictEqual(yield* page({ limit: 2 }), [1n, 2n])
      assert.deepStrictEqual(yield* page({ limit: 2, after: 2n }), [3n, 4n])
      assert.deepStrictEqual(yield* page({ limit: 2, after: 4n }), [5n])
      assert.deepStrictEqual(yield* page({ streamId: "votes-a", after: 1n }), [3n, 5n])
      assert.deepStrictEqual(yield* DeadLetter.list({ ...Chains.main, version: 2 }), [])
      assert.strictEqual(yield* DeadLetter.discardStream(Chains.main, "votes-a"), 3)
      assert.deepStrictEqual(yield* page({}), [2n, 4n])
    }).pipe(Effect.provide(database)))

  it.live("shows a letter with its event, and refuses another log's", () =>
    Effect.gen(function*() {
      yield* Chains.append("a", "b", "a")
      yield* Projection.catchUp(Chains.chains(failsAt(3n), { poison: Poison.park }))
      const { event, letter } = yield* DeadLetter.inspect(Chains.main, 3n)
      assert.strictEqual(event.globalPosition, 3n)
      assert.deepStrictEqual(event.data, { choice: "2", weight: 1 })
      assert.deepInclude(letter, {
        position: 3n,
        streamId: "votes-a",
        streamVersion: 1,
        type: "Voted.v2",
        eventId: event.eventId,
        kind: "parked"
      })
      assert.instanceOf(letter.failedAt, Date)
      assert.instanceOf(yield* Effect.flip(DeadLetter.inspect(Chains.main, 2n)), LetterMissing)
      yield* sql("UPDATE composable.dead_letters SET event_id = gen_random_uuid()")
      assert.instanceOf(yield* Effect.flip(DeadLetter.inspect(Chains.main, 3n)), LogMismatch)
      assert.instanceOf(yield* Effect.flip(DeadLetter.replay(Chains.chains(healthy), "votes-a")), LogMismatch)
      yield* Chains.verify(({ globalPosition }) => globalPosition === 3n)
    }).pipe(Effect.provide(database)))

  it.live("discards one parked event, or a stream's all, and the stream goes on", () =>
    Effect.gen(function*() {
      yield* Chains.append("a", "a", "b", "b", "b")
      const projection = Chains.chains(failsAt(1n, 3n), { poison: Poison.park })
      yield* Projection.catchUp(projection)
      assert.strictEqual(yield* DeadLetter.discard(Chains.main, 1n), 1)
      assert.deepStrictEqual((yield* DeadLetter.parked(Chains.main)).map(({ events }) => events), [1, 3])
      assert.strictEqual(yield* DeadLetter.replay(projection, "votes-a"), 1)
      assert.strictEqual(yield* DeadLetter.discardStream(Chains.main, "votes-b"), 3)
      assert.deepStrictEqual(yield* DeadLetter.parked(Chains.main), [])
      yield* Chains.append("a", "b")
      yield* Projection.catchUp(projection)
      const gone = new Set([1n, 3n, 4n, 5n])
      yield* Chains.verify(({ globalPosition }) => gone.has(globalPosition))
      assert.deepStrictEqual(yield* briefly, [])
    }).pipe(Effect.provide(database)))

  it.live("a discarded last event unparks its stream", () =>
    Effect.gen(function*() {
      yield* Chains.append("a")
      const projection = Chains.chains(failsAt(1n), { poison: Poison.park })
      yield* Projection.catchUp(projection)
      assert.strictEqual(yield* DeadLetter.discard(Chains.main, 1n), 1)
      assert.deepStrictEqual(yield* DeadLetter.parked(Chains.main), [])
    }).pipe(Effect.provide(database)))

  it.live("a row left by a replay that died behind its last letter parks nothing", () =>
    Effect.gen(function*() {
      yield* Chains.append("a", "b")
      const projection = Chains.chains(failsAt(1n), { poison: Poison.park })
      yield* Projection.catchUp(projection)
      yield* sql("DELETE FROM composable.dead_letters")
      yield* Chains.append("a", "b")
      yield* Projection.catchUp(projection)
      yield* Chains.verify(({ globalPosition }) => globalPosition === 1n)
      assert.deepStrictEqual(yield* DeadLetter.parked(Chains.main), [])
    }).pipe(Effect.provide(database)))

  it.live("a replay whose handler ends its transaction loses neither letter nor event", () =>
    Effect.gen(function*() {
      yield* Chains.append("a", "a", "b")
      yield* Projection.catchUp(Chains.chains(failsAt(1n), { poison: Poison.park }))
      for (const misdeed of [sql("ROLLBACK"), Effect.andThen(sql("ROLLBACK"), sql("BEGIN"))]) {
        const error = yield* Effect.flip(DeadLetter.replay(Chains.chains(() => misdeed), "votes-a"))
        assert.isTrue(error._tag === "ReplayFailed" && error.cause instanceof TransactionEnded)
      }
      assert.lengthOf(yield* briefly, 2)
      assert.strictEqual(yield* DeadLetter.replay(Chains.chains(healthy), "votes-a"), 2)
      yield* Chains.verify()
    }).pipe(Effect.provide(database)))

  it.live("two replays of one stream apply each event once, in order", () =>
    Effect.gen(function*() {
      yield* Chains.append(...Array.from({ length: 30 }, (_, i) => i % 2 === 0 ? "a" : "b"))
      yield* Projection.catchUp(Chains.chains(failsAt(1n), { poison: Poison.park }))
      const replay = DeadLetter.replay(Chains.chains(healthy), "votes-a")
      const applied = yield* Effect.all([replay, replay, replay], { concurrency: "unbounded" })
      assert.strictEqual(applied.reduce((sum, some) => sum + some, 0), 15)
      yield* Chains.verify()
    }).pipe(Effect.provide(database)))

  it.live("the worker goes on, and adds to the queue, while a replay's handler is at work", () =>
    Effect.gen(function*() {
      const inside = yield* Deferred.make<void>()
      const goOn = yield* Deferred.make<void>()
      yield* Chains.append("a")
      const projection = Chains.chains(failsAt(1n), { poison: Poison.park })
      yield* Projection.catchUp(projection)
      const slow = {
        ...projection,
        apply: () => Effect.andThen(Deferred.succeed(inside, undefined), Deferred.await(goOn))
      }
      const replaying = yield* Effect.forkChild(DeadLetter.replay(slow, "votes-a"))
      yield* Deferred.await(inside)
      const head = yield* Chains.append("a", "b", "a")
      assert.strictEqual(yield* Projection.catchUp(projection), head)
      assert.deepStrictEqual((yield* DeadLetter.parked(Chains.main)).map(({ events }) => events), [3])
      yield* Deferred.succeed(goOn, undefined)
      assert.strictEqual(yield* Fiber.join(replaying), 3)
      assert.deepStrictEqual(yield* DeadLetter.parked(Chains.main), [])
    }).pipe(Effect.provide(database)))

  it.live("letters of an earlier life are forgotten with its checkpoints", () =>
    Effect.gen(function*() {
      yield* Chains.append("a", "a", "b")
      yield* Projection.catchUp(Chains.chains(failsAt(1n), { poison: Poison.park }))
      yield* sql("DELETE FROM composable.checkpoints")
      yield* sql("DROP TABLE chains, chain_total")
      yield* Projection.catchUp(Chains.chains(healthy))
      yield* Chains.verify()
      assert.deepStrictEqual(yield* briefly, [])
    }).pipe(Effect.provide(database)))
})

describe("a projection of several partitions", () => {
  it.live("parks in each by itself, and Status counts by partition", () =>
    Effect.gen(function*() {
      const ids = Array.from({ length: 12 }, (_, i) => `${i}`)
      yield* Chains.append(...ids, ...ids, ...ids)
      const bad: Chains.Misdeed = ({ streamId, version }) =>
        version === 1 && Number(streamId.slice(6)) % 2 === 0 ? Effect.fail("bad") : Effect.void
      const projection = Chains.chains(bad, { poison: Poison.park, partitions: 3 })
      yield* Projection.catchUp(projection)
      const waits = ({ streamId, version }: RecordedEvent) => version > 0 && Number(streamId.slice(6)) % 2 === 0
      yield* Chains.verify(waits)
      const parts = yield* counts
      const parked = yield* DeadLetter.parked(Chains.main)
      assert.lengthOf(parked, 6)
      assert.deepStrictEqual(
        parts,
        [0, 1, 2].map((partition) => {
          const parkedStreams = parked.filter((stream) => stream.partition === partition).length
          return { parkedStreams, parked: 2 * parkedStreams, skipped: 0 }
        })
      )
      const replays = parked.map(({ streamId }) =>
        DeadLetter.replay(Chains.chains(healthy, { partitions: 3 }), streamId)
      )
      assert.deepStrictEqual(yield* Effect.all(replays, { concurrency: 3 }), [2, 2, 2, 2, 2, 2])
      yield* Chains.verify()
    }).pipe(Effect.provide(database)))
})

describe("a tombstone of a parked stream", () => {
  it.live("is not kept waiting: what waits is erased, and its letters go", () =>
    Effect.gen(function*() {
      yield* Chains.append("a", "b", "a", "b")
      const projection = Chains.chains(failsAt(3n), { poison: Poison.park })
      yield* Projection.catchUp(projection)
      assert.property((yield* Chains.state).chains, "votes-a")
      yield* Chains.erase("a")
      yield* Projection.catchUp(projection)
      assert.deepStrictEqual(Object.keys((yield* Chains.state).chains), ["votes-b"])
      assert.deepStrictEqual(yield* briefly, [])
      assert.deepStrictEqual(yield* DeadLetter.parked(Chains.main), [])
    }).pipe(Effect.provide(database)))

  it.live("takes letters of skipped events, too, whose errors may quote what was erased", () =>
    Effect.gen(function*() {
      yield* Chains.append("a", "b")
      const projection = Chains.chains(failsAt(1n, 2n), { poison: Poison.skip })
      yield* Projection.catchUp(projection)
      yield* Chains.erase("a")
      yield* Projection.catchUp(projection)
      assert.deepStrictEqual(yield* briefly, ["2 votes-b skipped 1 no 2"])
    }).pipe(Effect.provide(database)))

  it.live("that fails is parked in its turn, and a replay passes over what is erased", () =>
    Effect.gen(function*() {
      yield* Chains.append("a", "b", "a", "b")
      const projection = Chains.chains(failsAt(3n), { poison: Poison.park })
      const unforgetting = {
        ...projection,
        apply: (events: readonly [RecordedEvent, ...ReadonlyArray<RecordedEvent>]) =>
          events.some(({ type }) => type === "$tombstone") ? Effect.fail("cannot forget") : projection.apply(events)
      }
      yield* Projection.catchUp(unforgetting)
      yield* Chains.erase("a")
      const head = yield* Chains.append("b")
      assert.strictEqual(yield* Projection.catchUp(unforgetting), head)
      assert.deepStrictEqual(yield* briefly, ["3 votes-a parked 1 no 3", "5 votes-a parked 1 cannot forget"])
      assert.property((yield* Chains.state).chains, "votes-a")
      assert.strictEqual(yield* DeadLetter.replay(projection, "votes-a"), 2)
      assert.deepStrictEqual(Object.keys((yield* Chains.state).chains), ["votes-b"])
    }).pipe(Effect.provide(database)))

  it.live("is not read by a projection that does not forget; its queue is passed over when it is replayed", () =>
    Effect.gen(function*() {
      yield* Chains.append("a", "b", "a", "b")
      const projection = Chains.batchChains(failsAt(3n), { poison: Poison.park })
      yield* Projection.catchUp(projection)
      const before = yield* Chains.state
      yield* Chains.erase("a")
      yield* Projection.catchUp(projection)
      assert.lengthOf(yield* briefly, 1)
      assert.strictEqual(yield* DeadLetter.replay(projection, "votes-a"), 1)
      assert.deepStrictEqual(yield* Chains.state, before)
      assert.deepStrictEqual(yield* DeadLetter.parked(Chains.main), [])
    }).pipe(Effect.provide(database)))
})

describe("a worker", () => {
  /** Runs it to the log's end, and tells how often it spoke to the tables of dead letters. */
  const looks = (projection: ReturnType<typeof Chains.chains>) =>
    Effect.suspend(() => {
      let looks = 0
      return Projection.catchUp(projection).pipe(
        Effect.updateService(PgClient.PgClient, (client) =>
          new Proxy(client, {
            get: (target, key) =>
              key === "unsafe"
                ? (text: string, parameters?: ReadonlyArray<unknown>) => {
                  if (/dead_letters|parked_streams/.test(text)) looks++
                  return target.unsafe(text, parameters)
                }
                : Reflect.get(target, key)
          })),
        Effect.map(() => looks)
      )
    })

  it.live("asks once what is parked, and no more while nothing is", () =>
    Effect.gen(function*() {
      const projection = Chains.chains(failsAt(3_000n), { poison: Poison.park })
      yield* Projection.catchUp(projection)
      // Two pages.
      yield* Chains.append(...Array.from({ length: 2_500 }, (_, i) => `${i % 5}`))
      assert.strictEqual(yield* looks(projection), 1)
      yield* Chains.append(...Array.from({ length: 500 }, (_, i) => `${i % 5}`))
      // The control: the row and the letter of the one that is parked.
      assert.strictEqual(yield* looks(projection), 3)
      yield* Chains.verify(({ globalPosition }) => globalPosition === 3_000n)
    }).pipe(Effect.provide(database)))
})
