/**
 * T39, T40 and T41: events that cannot be applied. `ROUNDS` says how often what is random is tried; 2 where it is not set.
 */
import type { RecordedEvent } from "@composable-ts/core/RecordedEvent"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as DeadLetter from "@composable-ts/projections/DeadLetter"
import * as Poison from "@composable-ts/projections/Poison"
import * as Projection from "@composable-ts/projections/Projection"
import { ProjectionFailed, TransactionEnded } from "@composable-ts/projections/ProjectionError"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Fiber, Layer, Logger, Redacted, Schedule } from "effect"
import { SqlClient } from "effect/sql"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import * as Chains from "../../../packages/projections/test/Chains.ts"
import { log } from "../../../packages/projections/test/Votes.ts"
import type { ParkerOrders } from "./Parker.ts"
import { seeded } from "./Seed.ts"

const rounds = Number(process.env["ROUNDS"] ?? "2")

/** The lines that a test has logged; nothing is printed. */
const logging = (lines: Array<string>) =>
  Logger.layer([Logger.make(({ message }) => {
    lines.push(String(message))
  })])

const quiet = PostgresEventStore.layer().pipe(Layer.provideMerge(TestDatabase.layer), Layer.provideMerge(logging([])))

const sql = (statement: string) =>
  Effect.flatMap(SqlClient.SqlClient, (client) => client.unsafe<Readonly<Record<string, unknown>>>(statement))

const failsAt =
  (position: bigint, misdeed: Chains.Misdeed = () => Effect.fail("poison")): Chains.Misdeed => (recorded) =>
    recorded.globalPosition === position ? misdeed(recorded) : Effect.void

const healthy: Chains.Misdeed = () => Effect.void

const checkpoint = Effect.map(sql("SELECT position FROM composable.checkpoints"), ([row]) => row?.["position"])

const letters = DeadLetter.list(Chains.main, { limit: 10_000 })

const kinds = { "by a handler for each event": Chains.chains, "by batches": Chains.batchChains }

/** So many events of ten streams. */
const appendMany = (count: number) => Chains.append(...Array.from({ length: count }, (_, i) => `${i % 10}`))

/** The stream of the 500th of them. */
const culprit = "votes-9"

describe.each(Object.entries(kinds))("T39: event 500 of 1 000 always fails, %s", (_, make) => {
  it.live("stop: the read model stands right before it, and goes on when it is mended", () =>
    Effect.gen(function*() {
      yield* appendMany(1_000)
      const error = yield* Effect.flip(Projection.catchUp(make(failsAt(500n), { poison: Poison.stop })))
      assert.instanceOf(error, ProjectionFailed)
      assert.deepInclude(error, { after: 499n, upTo: 500n, cause: "poison" })
      assert.strictEqual(yield* checkpoint, 499n)
      yield* Chains.verify(({ globalPosition }) => globalPosition > 499n)
      assert.deepStrictEqual(yield* letters, [])
      yield* Projection.catchUp(make(healthy))
      yield* Chains.verify()
    }).pipe(Effect.provide(quiet)))

  it.live("skip: all others are applied once", () =>
    Effect.gen(function*() {
      yield* appendMany(1_000)
      const projection = make(failsAt(500n), { poison: Poison.skip })
      assert.strictEqual(yield* Projection.catchUp(projection), 1_000n)
      yield* Chains.verify(({ globalPosition }) => globalPosition === 500n)
      const [letter, ...more] = yield* letters
      assert.lengthOf(more, 0)
      assert.deepInclude(letter, { position: 500n, streamId: culprit, kind: "skipped", error: "poison", attempts: 1 })
    }).pipe(Effect.provide(quiet)))

  it.live("park: it and all later events of its stream wait in order, and a replay makes up for everything", () =>
    Effect.gen(function*() {
      yield* appendMany(1_000)
      const projection = make(failsAt(500n), { poison: Poison.park })
      assert.strictEqual(yield* Projection.catchUp(projection), 1_000n)
      const waiting = (recorded: RecordedEvent) => recorded.streamId === culprit && recorded.globalPosition >= 500n
      yield* Chains.verify(waiting)
      assert.deepStrictEqual(
        (yield* letters).map(({ position, streamVersion }) => [position, streamVersion]),
        (yield* log).filter(waiting).map(({ globalPosition, version }) => [globalPosition, version])
      )
      assert.strictEqual(yield* DeadLetter.replay(make(healthy), culprit), 51)
      yield* Chains.verify()
      assert.deepStrictEqual(yield* letters, [])
    }).pipe(Effect.provide(quiet)))
})

describe("a handler that", () => {
  const misdeeds: Record<
    string,
    readonly [misdeed: Effect.Effect<unknown, unknown, SqlClient.SqlClient>, says: RegExp]
  > = {
    "fails": [Effect.fail("out of paper\0"), /^out of paper$/],
    "throws where it should make an effect": [
      Effect.suspend(() => {
        throw new Error("at once")
      }),
      /^at once$/
    ],
    "dies": [Effect.die(new Error("a bug")), /^a bug$/],
    "is interrupted": [Effect.interrupt, /interrupt/],
    "fails and dies": [Effect.failCause(Cause.combine(Cause.fail("first"), Cause.die("second"))), /^first$/],
    "breaks a constraint": [sql("INSERT INTO chains VALUES ('x', NULL)"), /null value in column "chain"/],
    "breaks its transaction and says nothing": [Effect.ignore(sql("SELECT 1 / 0")), /transaction is aborted/],
    "breaks a constraint that is checked at the commit": [
      sql("INSERT INTO deferred VALUES (1), (1)"),
      /duplicate key value/
    ],
    "ends its transaction, and fails": [Effect.andThen(sql("ROLLBACK"), Effect.fail("too clever")), /^too clever$/]
  }
  for (const [what, [misdeed, says]] of Object.entries(misdeeds)) {
    it.live(`${what}: is contained, whether its event is skipped or its stream parked`, () =>
      Effect.gen(function*() {
        yield* sql("CREATE TABLE deferred (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
        yield* appendMany(40)
        const skipping = Chains.chains(failsAt(7n, () => misdeed), { poison: Poison.skip })
        assert.strictEqual(yield* Projection.catchUp(skipping), 40n)
        yield* Chains.verify(({ globalPosition }) => globalPosition === 7n)
        assert.match((yield* letters)[0]?.error ?? "", says)
        yield* appendMany(40)
        const parking = Chains.chains(failsAt(47n, () => misdeed), { poison: Poison.park })
        assert.strictEqual(yield* Projection.catchUp(parking), 80n)
        yield* Chains.verify(({ globalPosition, streamId }) =>
          globalPosition === 7n || (streamId === "votes-6" && globalPosition >= 47n)
        )
        assert.match((yield* letters)[1]?.error ?? "", says)
        assert.lengthOf(yield* letters, 5)
        yield* Effect.flip(DeadLetter.replay(parking, "votes-6"))
        assert.strictEqual(yield* DeadLetter.replay(Chains.chains(healthy), "votes-6"), 4)
        yield* Chains.verify(({ globalPosition }) => globalPosition === 7n)
      }).pipe(Effect.provide(quiet)))
  }

  it.live("ends its transaction and says nothing: is noticed, and stops the projection whatever its policy", () =>
    Effect.gen(function*() {
      yield* appendMany(40)
      const error = yield* Effect.flip(
        Projection.catchUp(Chains.chains(failsAt(40n, () => sql("ROLLBACK")), { poison: Poison.skip }))
      )
      assert.instanceOf(error, ProjectionFailed)
      assert.instanceOf(error.cause, TransactionEnded)
      assert.strictEqual(yield* checkpoint, 0n)
      assert.deepStrictEqual(yield* letters, [])
      yield* Projection.catchUp(Chains.chains(healthy))
      yield* Chains.verify()
    }).pipe(Effect.provide(quiet)))

  it.live("fails for want of disk space: stops, for that is not its event's fault", () =>
    Effect.gen(function*() {
      yield* appendMany(40)
      const full = sql("DO $$ BEGIN RAISE 'could not extend file' USING ERRCODE = 'disk_full'; END $$")
      for (const poison of [Poison.skip, Poison.park]) {
        const error = yield* Effect.flip(Projection.catchUp(Chains.chains(failsAt(7n, () => full), { poison })))
        assert.instanceOf(error, ProjectionFailed)
        assert.match(error.message, /could not extend file/)
        assert.strictEqual(yield* checkpoint, 6n)
        assert.deepStrictEqual(yield* letters, [])
      }
    }).pipe(Effect.provide(quiet)))
})

describe("T40", () => {
  it.live("one bad event in a batch of 500: the 499 others are applied once, the culprit is found in few attempts", () =>
    Effect.gen(function*() {
      yield* appendMany(500)
      for (const poison of [Poison.skip, Poison.park]) {
        let batches = 0
        const bad = new Set([318n, 318n])
        const projection = Chains.batchChains(
          ({ globalPosition }) => bad.has(globalPosition) ? (batches++, Effect.fail("poison")) : Effect.void,
          { poison }
        )
        yield* Projection.catchUp(projection)
        assert.isAtMost(batches, 20)
        yield* Chains.verify(({ globalPosition, streamId }) =>
          globalPosition === 318n || (poison === Poison.park && globalPosition > 318n && streamId === "votes-7")
        )
        yield* sql("TRUNCATE composable.checkpoints")
        yield* sql("DROP TABLE chains, chain_total")
      }
    }).pipe(Effect.provide(quiet)))

  it.live("a dead letter that cannot be written: the checkpoint does not move past its event", () =>
    Effect.gen(function*() {
      yield* appendMany(100)
      yield* Projection.catchUp(Chains.chains(healthy))
      const head = yield* appendMany(100)
      yield* sql(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no letters'; END $$`)
      yield* sql(`CREATE TRIGGER refuse BEFORE INSERT ON composable.dead_letters
        FOR EACH ROW EXECUTE FUNCTION refuse()`)
      for (const poison of [Poison.skip, Poison.park]) {
        const error = yield* Effect.flip(Projection.catchUp(Chains.chains(failsAt(150n), { poison })))
        assert.instanceOf(error, ProjectionFailed)
        assert.match(error.message, /: poison; and its dead letter could not be written: .*no letters/)
        assert.strictEqual(yield* checkpoint, 149n)
        assert.deepStrictEqual(yield* DeadLetter.parked(Chains.main), [])
        yield* Chains.verify(({ globalPosition }) => globalPosition > 149n)
      }
      yield* sql("DROP TRIGGER refuse ON composable.dead_letters")
      yield* Projection.catchUp(Chains.chains(failsAt(150n), { poison: Poison.park }))
      assert.strictEqual(yield* checkpoint, head)
      assert.lengthOf(yield* letters, 6)
    }).pipe(Effect.provide(quiet)))
})

describe("T41: a failure that passes", () => {
  /** Fails the first times that the event is tried alone. */
  const transient = (times: number) => {
    let tries = 0
    return failsAt(50n, () => ++tries <= times ? Effect.fail("not yet") : Effect.void)
  }
  const retry = Schedule.exponential("1 millis").pipe(Schedule.jittered, Schedule.upTo({ times: 5 }))

  const run = (times: number, options: Parameters<typeof Chains.chains>[1]) =>
    Effect.gen(function*() {
      const lines: Array<string> = []
      yield* appendMany(49)
      yield* Projection.catchUp(Chains.chains(healthy))
      // By itself: the halving of a batch would count among the attempts.
      yield* Chains.append("9")
      const exit = yield* Effect.exit(
        Projection.catchUp(Chains.chains(transient(times), options)).pipe(Effect.provide(logging(lines)))
      )
      return { exit, lines: lines.filter((line) => line.includes("global position 50,")) }
    })

  it.live("within the schedule is waited for, and leaves no trace but one line in the log", () =>
    Effect.gen(function*() {
      const { exit, lines } = yield* run(5, { retry, poison: Poison.park })
      assert.strictEqual(exit._tag, "Success")
      assert.deepStrictEqual(yield* letters, [])
      yield* Chains.verify()
      assert.lengthOf(lines, 1)
      assert.match(lines[0] ?? "", /^Projection chains v1: the event at .* could not be applied, .* again: not yet$/)
    }).pipe(Effect.provide(quiet)))

  it.live("after the schedule's end is too late", () =>
    Effect.gen(function*() {
      yield* run(6, { retry, poison: Poison.park })
      assert.deepStrictEqual((yield* letters).map(({ attempts, error }) => ({ attempts, error })), [
        { attempts: 6, error: "not yet" }
      ])
    }).pipe(Effect.provide(quiet)))

  it.live("many events that fail do not flood the log", () =>
    Effect.gen(function*() {
      const lines: Array<string> = []
      yield* appendMany(60)
      const started = Date.now()
      yield* Projection.catchUp(Chains.chains(() => Effect.fail("all"), { poison: Poison.skip })).pipe(
        Effect.provide(logging(lines))
      )
      const seconds = (Date.now() - started) / 1_000
      assert.lengthOf(yield* letters, 60)
      assert.isAtMost(lines.length, 2 + seconds)
      assert.strictEqual((yield* Chains.state).total, 0)
    }).pipe(Effect.provide(quiet)))
})

describe("processes that park", () => {
  const script = fileURLToPath(new URL("./Parker.ts", import.meta.url))

  /** Runs a process until it has killed itself. */
  const untilKilled = (orders: Omit<ParkerOrders, "url">) =>
    Effect.gen(function*() {
      const { config } = yield* PgClient.PgClient
      assert.isDefined(config.url)
      const whole = { url: Redacted.value(config.url), ...orders } satisfies ParkerOrders
      let said = ""
      const child = yield* Effect.acquireRelease(
        Effect.sync(() =>
          spawn(process.execPath, [script, JSON.stringify(whole)], { stdio: ["ignore", "pipe", "pipe"] })
        ),
        (child) => Effect.sync(() => child.kill("SIGKILL"))
      )
      for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => said += text)
      const [code, signal] = yield* Effect.promise(() => once(child, "close"))
      assert.deepStrictEqual([code, signal], [null, "SIGKILL"], said)
    }).pipe(Effect.scoped)

  /** Every so many-th event fails; so many of them are each in another of the ten streams. */
  const failing = 17

  it.live(
    "are killed amid it, and nothing is lost, doubled or out of order",
    () =>
      Effect.gen(function*() {
        const { random } = seeded()
        yield* Projection.catchUp(Chains.chains(healthy))
        for (let round = 0; round < rounds; round++) {
          yield* appendMany(40 + Math.floor(random() * 40))
          yield* untilKilled({
            every: failing,
            // The first asks what is parked; each of the two events at least that fail brings two more.
            count: 2 + Math.floor(random() * 4),
            sent: random() < 0.7
          })
        }
        // Those that failed before may be of few streams; of these, five fail at least, each of another.
        yield* appendMany(100)
        const parking = Chains.chains(
          ({ globalPosition }) => globalPosition % BigInt(failing) === 0n ? Effect.fail("no") : Effect.void,
          { poison: Poison.park }
        )
        const head = yield* Projection.catchUp(parking)
        const parkedSince = new Map<string, bigint>()
        for (const { globalPosition, streamId } of yield* log) {
          if (globalPosition % BigInt(failing) === 0n && !parkedSince.has(streamId)) {
            parkedSince.set(streamId, globalPosition)
          }
        }
        const waiting = ({ globalPosition, streamId }: RecordedEvent) =>
          globalPosition >= (parkedSince.get(streamId) ?? head + 1n)
        assert.isAbove(parkedSince.size, 3)
        yield* Chains.verify(waiting)
        assert.deepStrictEqual(
          (yield* letters).map(({ position }) => position),
          (yield* log).filter(waiting).map(({ globalPosition }) => globalPosition)
        )
        for (const streamId of parkedSince.keys()) yield* DeadLetter.replay(Chains.chains(healthy), streamId)
        yield* Chains.verify()
        assert.deepStrictEqual(yield* letters, [])
      }).pipe(Effect.provide(quiet)),
    20_000 + rounds * 4_000
  )
})

describe("a replay that comes to its end while the worker puts another event of the stream aside", () => {
  for (const isolation of ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]) {
    it.live(`waits for it, and applies that, too, at ${isolation}`, () =>
      Effect.gen(function*() {
        const aside = yield* Deferred.make<void>()
        const commit = yield* Deferred.make<void>()
        const parking = Chains.chains(failsAt(1n), { poison: Poison.park })
        const projection = {
          ...parking,
          // Nothing is written: the row that all streams share would be in the replay's way, or the replay in its.
          apply: (events: readonly [RecordedEvent, ...ReadonlyArray<RecordedEvent>]) =>
            events[0].globalPosition === 3n
              ? Effect.andThen(Deferred.succeed(aside, undefined), Deferred.await(commit))
              : parking.apply(events)
        }
        yield* Chains.append("a")
        yield* Projection.catchUp(projection)
        // The second event of a is put aside in the transaction in which that of b is being applied.
        yield* Chains.append("a", "b")
        const worker = yield* Effect.forkChild(Projection.catchUp(projection))
        yield* Deferred.await(aside)
        const replay = yield* Effect.forkChild(DeadLetter.replay(Chains.chains(healthy), "votes-a"))
        const waits = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`
        while ((yield* sql(waits)).length === 0 && replay.pollUnsafe() === undefined) yield* Effect.sleep(2)
        yield* Deferred.succeed(commit, undefined)
        assert.strictEqual(yield* Fiber.join(replay), 2)
        yield* Fiber.join(worker)
        assert.deepStrictEqual(yield* letters, [])
        assert.deepStrictEqual(yield* DeadLetter.parked(projection), [])
        yield* Chains.append("a")
        yield* Projection.catchUp(projection)
        yield* Chains.verify(({ globalPosition }) => globalPosition === 3n)
      }).pipe(
        Effect.provideService(SqlClient.BeginTransaction, `BEGIN ISOLATION LEVEL ${isolation}`),
        Effect.provide(quiet)
      ))
  }
})

describe("random poison, replays and discards", () => {
  const streams = ["a", "b", "c", "d"]

  it.live("one after the other: the read model and the letters are the model's", () =>
    Effect.gen(function*() {
      const { random } = seeded()
      const pick = <A>(some: ReadonlyArray<A>): A => some[Math.floor(random() * some.length)]!
      const bad = new Set<bigint>()
      const projection = {
        ...Chains.chains(({ globalPosition }) => bad.has(globalPosition) ? Effect.fail("bad") : Effect.void, {
          poison: Poison.park
        })
      }
      const applied: Array<RecordedEvent> = []
      const queues = new Map<string, Array<RecordedEvent>>()
      let read = 0
      let replayed = 0
      const replay = (streamId: string, queue: Array<RecordedEvent>) =>
        Effect.gen(function*() {
          const result = yield* Effect.result(DeadLetter.replay(projection, streamId))
          let count = 0
          while (queue[0] !== undefined && !bad.has(queue[0].globalPosition)) {
            applied.push(queue.shift()!)
            count++
          }
          if (queue.length === 0) assert.isTrue(result._tag === "Success" && result.success === count)
          else assert.isTrue(result._tag === "Failure" && result.failure._tag === "ReplayFailed")
          replayed += count
        })
      yield* Projection.catchUp(projection)
      for (let step = 0; step < rounds * 10; step++) {
        const roll = random()
        if (roll < 0.5) {
          const count = 1 + Math.floor(random() * 12)
          const head = yield* Chains.append(...Array.from({ length: count }, () => pick(streams)))
          for (let position = BigInt(read) + 1n; position <= head; position++) {
            if (random() < 0.12) bad.add(position)
          }
          yield* Projection.catchUp(projection)
          const all = yield* log
          for (const event of all.slice(read)) {
            const queue = queues.get(event.streamId)
            if (queue !== undefined) queue.push(event)
            else if (bad.has(event.globalPosition)) queues.set(event.streamId, [event])
            else applied.push(event)
          }
          read = all.length
        } else if (roll < 0.6) {
          for (const position of bad) if (random() < 0.5) bad.delete(position)
        } else {
          const streamId = Chains.stream(pick(streams))
          const queue = queues.get(streamId) ?? []
          if (roll < 0.9) {
            yield* replay(streamId, queue)
          } else if (roll < 0.97) {
            const event = queue.splice(Math.floor(random() * queue.length), 1)[0]
            if (event === undefined) continue
            assert.strictEqual(yield* DeadLetter.discard(projection, event.globalPosition), 1)
          } else {
            assert.strictEqual(yield* DeadLetter.discardStream(projection, streamId), queue.length)
            queue.length = 0
          }
          if (queue.length === 0) queues.delete(streamId)
        }
        assert.deepStrictEqual(yield* Chains.state, Chains.fold(applied))
        assert.deepStrictEqual(
          (yield* DeadLetter.parked(projection)).map(({ streamId }) => streamId).toSorted(),
          [...queues.keys()].toSorted()
        )
        assert.deepStrictEqual(
          (yield* letters).map(({ position }) => position),
          [...queues.values()].flat().map(({ globalPosition }) => globalPosition).toSorted((a, b) => Number(a - b))
        )
      }
      bad.clear()
      for (const [streamId, queue] of queues) yield* replay(streamId, queue)
      assert.deepStrictEqual(yield* Chains.state, Chains.fold(applied))
      assert.deepStrictEqual(yield* letters, [])
      assert.isAbove(replayed, 0, "nothing was replayed")
    }).pipe(Effect.provide(quiet)), 60_000)

  /** Replays and appends at random while a worker runs; in the end all is mended. */
  const together = Effect.gen(function*() {
    const { random } = seeded()
    let mended = false
    let replayed = 0
    /** How often each event will fail yet: some more often than halving its batch takes, so that its stream is parked. */
    const left = new Map<bigint, number>()
    const flaky: Chains.Misdeed = ({ globalPosition }) =>
      Effect.suspend(() => {
        const times = left.get(globalPosition) ?? (random() < 0.04 ? 1 + Math.floor(random() * 60) : 0)
        left.set(globalPosition, times - 1)
        return times > 0 && !mended ? Effect.fail("bad") : Effect.void
      })
    const projection = Chains.chains(flaky, { poison: Poison.park })
    yield* Projection.catchUp(projection)
    const runner = yield* Effect.forkChild(Projection.run(projection))
    const replayer = yield* Effect.forkChild(Effect.forever(Effect.gen(function*() {
      for (const { streamId } of yield* DeadLetter.parked(projection)) {
        const result = yield* Effect.result(DeadLetter.replay(projection, streamId))
        if (result._tag === "Success") replayed += result.success
      }
      yield* Effect.sleep(random() * 3)
    })))
    let head = 0n
    for (let step = 0; step < rounds * 15; step++) {
      head = yield* Chains.append(
        ...Array.from({ length: 1 + Math.floor(random() * 20) }, () => streams[Math.floor(random() * 4)]!)
      )
      yield* Effect.sleep(random() * 8)
    }
    mended = true
    while ((yield* checkpoint) !== head || (yield* DeadLetter.parked(projection)).length > 0) yield* Effect.sleep(5)
    yield* Fiber.interrupt(replayer)
    yield* Fiber.interrupt(runner)
    yield* Chains.verify()
    assert.deepStrictEqual(yield* letters, [])
    assert.isAbove(replayed, 0, "nothing was replayed")
  })

  it.live(
    "while a worker runs: in the end the read model is the fold, as if nothing had ever failed",
    () => together.pipe(Effect.provide(quiet)),
    60_000
  )

  for (const isolation of ["REPEATABLE READ", "SERIALIZABLE"]) {
    it.live(`the same at ${isolation}`, () =>
      together.pipe(
        Effect.provideService(SqlClient.BeginTransaction, `BEGIN ISOLATION LEVEL ${isolation}`),
        Effect.provide(quiet)
      ), 60_000)
  }
})
