/**
 * When an aggregate's store keeps the states of its instances, and how it loads behind them.
 */
import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as Event from "@composable-ts/core/Event"
import { EventStore, type Service as Events } from "@composable-ts/core/EventStore"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as Fx from "@composable-ts/core/Fx"
import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
import * as MemorySnapshotStore from "@composable-ts/core/MemorySnapshotStore"
import type { Policy, Snapshot } from "@composable-ts/core/Snapshot"
import { type Service as Snapshots, SnapshotStore, SnapshotStoreError } from "@composable-ts/core/SnapshotStore"
import * as Store from "@composable-ts/core/Store"
import * as StreamId from "@composable-ts/core/StreamId"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Fiber, Logger, Option, Result, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"

/** An account of cents, whose first events were in euros. */
const Purse = Action.define("Purse", {
  commands: { Put: { cents: Schema.Int }, PutTwice: { cents: Schema.Int }, Keep: {} },
  events: {
    Put1: Event.v1({ euros: Schema.Number }).next({ cents: Schema.Int }, ({ euros }) => ({ cents: euros * 100 }))
  }
})
const PurseOf2019 = Action.define("Purse", {
  commands: {},
  events: { Put1: Event.v1({ euros: Schema.Number }) }
})

/** The sum, and every amount, so that an order or an event that is lost shows. */
const State = Schema.Struct({ sum: Schema.Int, last: Schema.Array(Schema.Int) })
const empty: typeof State.Type = { sum: 0, last: [] }

const purseWith = <const P extends Policy<typeof State.Type> | undefined>(snapshot: P) =>
  Aggregate.define(Purse, {
    initial: empty,
    decide: (_state, command) => {
      switch (command._tag) {
        case "Put":
          return Fx.append(Purse.Put1({ cents: command.cents }))
        case "PutTwice":
          return Fx.append(Purse.Put1({ cents: command.cents }), Purse.Put1({ cents: command.cents }))
        case "Keep":
          return Fx.saveSnapshot
      }
    },
    evolve: ({ last, sum }, { cents }) => ({ sum: sum + cents, last: [...last, cents] }),
    snapshot
  })

const policy = (more: Partial<Policy<typeof State.Type>> = {}): Policy<typeof State.Type> => ({
  state: State,
  version: 1,
  ...more
})
const purse = (more?: Partial<Policy<typeof State.Type>>) => purseWith(policy(more))
const plain = purseWith(undefined)

const streamId = Result.getOrThrow(StreamId.make("purse", "1"))
const put = (cents: number) => Purse.Put({ cents })
const upTo = (count: number) => Array.from({ length: count }, (_, i) => i + 1)
const stateOf = (...last: ReadonlyArray<number>): typeof State.Type => ({
  sum: last.reduce((sum, cents) => sum + cents, 0),
  last
})
const unreachable = (operation: "save" | "load") =>
  new SnapshotStoreError({ operation, retryable: true, cause: new Error("no route to host") })

/** An event store that counts the events that are read for their state: a single one looked at is none. */
const counting = (events: Events) => {
  const read = { events: 0 }
  const counted: Events = {
    ...events,
    load: (...load) =>
      Stream.tap(events.load(...load), () =>
        Effect.sync(() => {
          read.events++
        }))
  }
  return { events: counted, read }
}

/** A snapshot store that tells what was saved. */
const watching = (snapshots: Snapshots) => {
  const saved: Array<Snapshot> = []
  const watched: Snapshots = {
    ...snapshots,
    save: (snapshot) =>
      Effect.suspend(() => {
        saved.push(snapshot)
        return snapshots.save(snapshot)
      })
  }
  return { saved, snapshots: watched }
}

interface Kit {
  readonly events: Events
  /** The same log, counted. */
  readonly counted: Events
  readonly read: { events: number }
  readonly snapshots: Snapshots
  readonly saved: Array<Snapshot>
  readonly versions: () => ReadonlyArray<number>
}

const kit: Effect.Effect<Kit> = Effect.gen(function*() {
  const log = yield* MemoryEventStore.make
  const { events: counted, read } = counting(log)
  const { saved, snapshots } = watching(yield* MemorySnapshotStore.make)
  return { events: log, counted, read, snapshots, saved, versions: () => saved.map(({ version }) => version) }
})

/** A store with cold caches. */
const over = (
  { counted, snapshots }: Pick<Kit, "counted" | "snapshots">,
  definition: ReturnType<typeof purse> = purse()
) =>
  Store.aggregate(definition).pipe(
    Effect.provideService(EventStore, counted),
    Effect.provideService(SnapshotStore, snapshots)
  )

/** What is logged at the level of a warning or above, in words. */
const warnings = () => {
  const said: Array<string> = []
  const logger = Logger.make(({ cause, logLevel, message }) => {
    const reasons = cause.reasons.length === 0 ? "" : ` ${Cause.pretty(cause)}`
    if (logLevel === "Warn" || logLevel === "Error") said.push(`${String(message)}${reasons}`)
  })
  return { said, layer: Logger.layer([logger]) }
}

const filled = (kit: Kit, count: number) =>
  Effect.gen(function*() {
    const purses = yield* Effect.provideService(Store.aggregate(plain), EventStore, kit.events)
    for (const cents of upTo(count)) yield* purses.dispatch("1", put(cents))
  })

describe("every so many events", () => {
  it.effect("a snapshot is kept beside the command, at the version that it has come to", () =>
    Effect.gen(function*() {
      const at = yield* kit
      const purses = yield* over(at, purse({ every: 3 }))
      for (const cents of upTo(7)) yield* purses.dispatch("1", put(cents))
      assert.deepStrictEqual(at.versions(), [2, 5])
      assert.deepStrictEqual(at.saved[1], {
        streamId,
        version: 5,
        globalPosition: 6n,
        stateVersion: 1,
        state: stateOf(...upTo(6))
      })
    }))

  it.effect("several events of a command count each, and are never parted", () =>
    Effect.gen(function*() {
      const at = yield* kit
      const purses = yield* over(at, purse({ every: 3 }))
      for (const cents of upTo(4)) yield* purses.dispatch("1", Purse.PutTwice({ cents }))
      assert.deepStrictEqual(at.versions(), [3, 7])
    }))

  it.effect("they count from the last one, also in a store that has just begun", () =>
    Effect.gen(function*() {
      const at = yield* kit
      for (const cents of upTo(7)) {
        const fresh = yield* over(at, purse({ every: 3 }))
        yield* fresh.dispatch("1", put(cents))
      }
      assert.deepStrictEqual(at.versions(), [2, 5])
    }))

  it.effect("they count from one on demand, too", () =>
    Effect.gen(function*() {
      const at = yield* kit
      const purses = yield* over(at, purse({ every: 3 }))
      for (const cents of upTo(2)) yield* purses.dispatch("1", put(cents))
      yield* purses.saveSnapshot("1")
      for (const cents of upTo(3)) yield* purses.dispatch("1", put(cents))
      assert.deepStrictEqual(at.versions(), [1, 4])
    }))

  it.effect("a command does not wait for it", () =>
    Effect.gen(function*() {
      const at = yield* kit
      const slow: Snapshots = { ...at.snapshots, save: () => Effect.never }
      const purses = yield* over({ ...at, snapshots: slow }, purse({ every: 1 }))
      for (const cents of upTo(3)) yield* purses.dispatch("1", put(cents))
      assert.deepStrictEqual((yield* purses.state("1")).state, stateOf(1, 2, 3))
    }))

  it.effect("an older state that is saved later replaces nothing", () =>
    Effect.gen(function*() {
      const at = yield* kit
      const gate = yield* Deferred.make<void>()
      const overtaken: Snapshots = {
        ...at.snapshots,
        save: (snapshot) =>
          snapshot.version === 0
            ? Effect.andThen(Deferred.await(gate), at.snapshots.save(snapshot))
            : at.snapshots.save(snapshot)
      }
      const purses = yield* over({ ...at, snapshots: overtaken }, purse({ every: 1 }))
      yield* purses.dispatch("1", put(1))
      yield* purses.dispatch("1", put(2))
      assert.deepStrictEqual(at.versions(), [1])
      yield* Deferred.succeed(gate, undefined)
      while (at.saved.length < 2) yield* Effect.yieldNow
      assert.deepStrictEqual(at.versions(), [1, 0])
      const kept = yield* at.snapshots.load(streamId, { stateVersion: 1 })
      assert.strictEqual(Option.getOrThrow(kept).version, 1)
    }))
})

describe("on demand", () => {
  it.effect("the instance's state is kept as it is in the log", () =>
    Effect.gen(function*() {
      const at = yield* kit
      const purses = yield* over(at)
      yield* purses.dispatch("1", put(1))
      yield* filled(at, 2)
      assert.deepStrictEqual(at.saved, [], "a policy without a rule kept a snapshot")
      yield* purses.saveSnapshot("1")
      assert.deepStrictEqual(at.saved, [
        { streamId, version: 2, globalPosition: 3n, stateVersion: 1, state: stateOf(1, 1, 2) }
      ])
    }))

  it.effect("an effect keeps it, too", () =>
    Effect.gen(function*() {
      const at = yield* kit
      const purses = yield* over(at)
      yield* purses.dispatch("1", put(5))
      yield* purses.dispatch("1", Purse.Keep())
      yield* purses.idle
      assert.deepStrictEqual(at.saved.map(({ state, version }) => [version, state]), [[0, stateOf(5)]])
    }))

  it.effect("nothing is kept before any event, or without a policy", () =>
    Effect.gen(function*() {
      const at = yield* kit
      yield* (yield* over(at)).saveSnapshot("1")
      yield* filled(at, 1)
      yield* (yield* Effect.provideService(Store.aggregate(plain), EventStore, at.events)).saveSnapshot("1")
      assert.deepStrictEqual(at.saved, [])
    }))

  it.effect("whoever asks hears that it failed", () =>
    Effect.gen(function*() {
      const at = yield* kit
      const broken: Snapshots = { ...at.snapshots, save: () => Effect.fail(unreachable("save")) }
      const purses = yield* over({ ...at, snapshots: broken })
      yield* purses.dispatch("1", put(1))
      const error = yield* Effect.flip(purses.saveSnapshot("1"))
      assert.instanceOf(error, SnapshotStoreError)
      assert.match(error.message, /failed to save \(worth another try\): no route to host/)
    }))
})

describe("when replay exceeds a time", () => {
  /** A log in which each event takes ten milliseconds to read. */
  const slow = (at: Kit): Kit => ({
    ...at,
    counted: { ...at.counted, load: (...load) => Stream.tap(at.counted.load(...load), () => Effect.sleep(10)) }
  })
  const loaded = (at: Kit, whenReplayExceeds: number) =>
    Effect.gen(function*() {
      const purses = yield* over(slow(at), purse({ whenReplayExceeds }))
      const fiber = yield* Effect.forkChild(purses.state("1"))
      yield* TestClock.adjust("1 second")
      return yield* Fiber.join(fiber)
    })

  it.effect("a snapshot is kept, and the next load is fast", () =>
    Effect.gen(function*() {
      const at = yield* kit
      yield* filled(at, 6)
      assert.deepStrictEqual((yield* loaded(at, 50)).state, stateOf(...upTo(6)))
      assert.deepStrictEqual(at.versions(), [5])
      assert.strictEqual(at.read.events, 6)
      assert.deepStrictEqual((yield* loaded(at, 50)).state, stateOf(...upTo(6)))
      assert.deepStrictEqual([at.versions(), at.read.events], [[5], 6])
    }))

  it.effect("none is kept up to that time", () =>
    Effect.gen(function*() {
      const at = yield* kit
      yield* filled(at, 5)
      yield* loaded(at, 50)
      assert.deepStrictEqual(at.versions(), [])
      yield* loaded(at, 49)
      assert.deepStrictEqual(at.versions(), [4])
    }))

  it.effect("the past is not kept, however long it takes to read", () =>
    Effect.gen(function*() {
      const at = yield* kit
      yield* filled(at, 6)
      const purses = yield* over(slow(at), purse({ whenReplayExceeds: 5 }))
      const fiber = yield* Effect.forkChild(purses.stateAt("1", { version: 3 }))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual((yield* Fiber.join(fiber)).state, stateOf(1, 2, 3, 4))
      assert.deepStrictEqual(at.saved, [])
    }))
})

describe("a load", () => {
  const kept = (at: Kit, count: number) =>
    Effect.andThen(filled(at, count), Effect.flatMap(over(at), (purses) => purses.saveSnapshot("1")))

  it.effect("reads only the events behind the snapshot", () =>
    Effect.gen(function*() {
      const at = yield* kit
      yield* kept(at, 40)
      yield* filled(at, 2)
      at.read.events = 0
      const purses = yield* over(at)
      assert.deepStrictEqual(yield* purses.state("1"), {
        state: stateOf(...upTo(40), 1, 2),
        version: 41,
        globalPosition: 42n
      })
      assert.strictEqual(at.read.events, 2)
      assert.deepStrictEqual((yield* purses.dispatch("1", put(3))).version, 42)
      assert.strictEqual(at.read.events, 2)
    }))

  it.effect("of a past version starts behind a snapshot at that version or before, and no later one", () =>
    Effect.gen(function*() {
      const at = yield* kit
      yield* kept(at, 10)
      yield* filled(at, 5)
      const purses = yield* over(at)
      const readsAt = (version: number) =>
        Effect.gen(function*() {
          at.read.events = 0
          const { state, version: reached } = yield* purses.stateAt("1", { version })
          assert.deepStrictEqual([reached, state], [
            version,
            stateOf(...[...upTo(10), ...upTo(5)].slice(0, version + 1))
          ])
          return at.read.events
        })
      assert.deepStrictEqual(yield* Effect.forEach([8, 9, 12, 14], readsAt), [9, 0, 3, 5])
    }))

  it.effect("upcasts old events behind a snapshot", () =>
    Effect.gen(function*() {
      const at = yield* kit
      yield* kept(at, 2)
      yield* at.events.append(streamId, ExpectedVersion.any, [
        Result.getOrThrow(PurseOf2019.encode(PurseOf2019.Put1({ euros: 3 })))
      ])
      at.read.events = 0
      assert.deepStrictEqual((yield* (yield* over(at)).state("1")).state, stateOf(1, 2, 300))
      assert.strictEqual(at.read.events, 1)
    }))

  it.effect("does not see the snapshots of another state version, and leaves them alone", () =>
    Effect.gen(function*() {
      const at = yield* kit
      yield* kept(at, 4)
      at.read.events = 0
      const newer = yield* over(at, purse({ version: 2 }))
      assert.deepStrictEqual((yield* newer.state("1")).state, stateOf(1, 2, 3, 4))
      assert.strictEqual(at.read.events, 4)
      yield* newer.saveSnapshot("1")
      const states = yield* Effect.forEach([1, 2], (stateVersion) => at.snapshots.load(streamId, { stateVersion }))
      assert.deepStrictEqual(states.map(Option.map(({ version }) => version)), [Option.some(3), Option.some(3)])
    }))

  it.effect("passes over a snapshot that does not decode, says so, and replays", () =>
    Effect.gen(function*() {
      const at = yield* kit
      yield* filled(at, 3)
      const { layer, said } = warnings()
      yield* at.snapshots.save({ streamId, version: 2, globalPosition: 3n, stateVersion: 1, state: { sum: "6" } })
      const purses = yield* over(at)
      assert.deepStrictEqual((yield* Effect.provide(purses.state("1"), layer)).state, stateOf(1, 2, 3))
      assert.strictEqual(at.read.events, 3)
      assert.deepStrictEqual(said, [
        "A snapshot of purse-1 at version 2 is not of this log or does not decode; it is forgotten"
      ])
    }))

  it.effect.each([
    { name: "whose event stands elsewhere in the log", place: { version: 2, globalPosition: 7n } },
    { name: "of a log that was longer", place: { version: 9, globalPosition: 10n } }
  ])("passes over a snapshot $name, says so, and replays", ({ place }) =>
    Effect.gen(function*() {
      const at = yield* kit
      yield* filled(at, 3)
      const { layer, said } = warnings()
      yield* at.snapshots.save({ streamId, ...place, stateVersion: 1, state: stateOf(99) })
      const purses = yield* over(at)
      const state = yield* Effect.provide(purses.state("1"), layer)
      assert.deepStrictEqual(state, { state: stateOf(1, 2, 3), version: 2, globalPosition: 3n })
      assert.strictEqual(said.length, 1)
      assert.match(said[0]!, /is not of this log/)
      assert.strictEqual((yield* purses.dispatch("1", put(4))).version, 3)
    }))

  it.effect("replaces the snapshot of a longer log that was lost, and says so once", () =>
    Effect.gen(function*() {
      const at = yield* kit
      yield* filled(at, 3)
      const { layer, said } = warnings()
      const place = { version: 9, globalPosition: 10n }
      for (const stateVersion of [1, 2]) {
        yield* at.snapshots.save({ streamId, ...place, stateVersion, state: stateOf(99) })
      }
      yield* Effect.gen(function*() {
        const state = yield* (yield* over(at)).state("1")
        assert.deepStrictEqual(state.state, stateOf(1, 2, 3))
        yield* (yield* over(at)).saveSnapshot("1")
      }).pipe(Effect.provide(layer))
      const kept = yield* Effect.forEach([1, 2], (stateVersion) => at.snapshots.load(streamId, { stateVersion }))
      assert.deepStrictEqual(kept.map(Option.map(({ version }) => version)), [Option.some(2), Option.some(9)])
      assert.strictEqual(said.length, 1)
    }))

  it.effect.each(["load", "remove"] as const)(
    "survives a snapshot store that dies when it is to %s",
    (operation) =>
      Effect.gen(function*() {
        const at = yield* kit
        yield* filled(at, 3)
        yield* at.snapshots.save({ streamId, version: 9, globalPosition: 10n, stateVersion: 1, state: stateOf(99) })
        const { layer, said } = warnings()
        const ill: Snapshots = { ...at.snapshots, [operation]: () => Effect.die(new Error("a bug in the store")) }
        const purses = yield* over({ ...at, snapshots: ill })
        assert.deepStrictEqual((yield* Effect.provide(purses.state("1"), layer)).state, stateOf(1, 2, 3))
        assert.match(said.at(-1)!, /The snapshot store failed, so a stream is replayed .*a bug in the store/s)
      })
  )

  it.effect("without a snapshot store that answers replays, and says so", () =>
    Effect.gen(function*() {
      const at = yield* kit
      yield* kept(at, 3)
      at.read.events = 0
      const { layer, said } = warnings()
      const broken: Snapshots = {
        ...at.snapshots,
        load: () => Effect.fail(unreachable("load")),
        save: () => Effect.fail(unreachable("save"))
      }
      const outcome = yield* Effect.gen(function*() {
        const purses = yield* over({ ...at, snapshots: broken }, purse({ every: 1, whenReplayExceeds: 0 }))
        return yield* purses.dispatch("1", put(4))
      }).pipe(Effect.provide(layer))
      assert.deepStrictEqual([outcome.version, outcome.state], [3, stateOf(1, 2, 3, 4)])
      assert.strictEqual(at.read.events, 3)
      assert.strictEqual(said.length, 2)
      assert.match(said[0]!, /The snapshot store failed.*failed to load/s)
      assert.match(said[1]!, /No snapshot of purse-1 was kept .*failed to save/s)
    }))

  it.effect("fails when the log does, whatever snapshot there is", () =>
    Effect.gen(function*() {
      const at = yield* kit
      yield* kept(at, 3)
      const bug = new Error("the log is gone")
      const purses = yield* over({ ...at, counted: { ...at.counted, read: () => Effect.die(bug) } })
      const exit = yield* Effect.exit(purses.state("1"))
      assert.isTrue(exit._tag === "Failure" && Cause.squash(exit.cause) === bug)
    }))

  const Amounts = Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: -999, maximum: 999 })))
  it.effect.prop(
    "comes to the same state with snapshots as without, for every history and wherever they stand",
    [Amounts, Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 6 }))],
    ([amounts, every]) =>
      Effect.gen(function*() {
        const at = yield* kit
        for (const cents of amounts) {
          // Half of the commands meet cold caches, and so a state from a snapshot.
          const purses = yield* over(at, purse({ every }))
          yield* purses.dispatch("1", put(cents))
          yield* purses.dispatch("1", Purse.PutTwice({ cents }))
        }
        const all = amounts.flatMap((cents) => [cents, cents, cents])
        const replayed = yield* Effect.provideService(Store.aggregate(plain), EventStore, at.events)
        const warm = yield* over(at, purse({ every }))
        assert.deepStrictEqual((yield* warm.state("1")).state, stateOf(...all))
        for (const version of [-1, ...all.keys()]) {
          const moment = { version }
          assert.deepStrictEqual(yield* warm.stateAt("1", moment), yield* replayed.stateAt("1", moment))
        }
      }),
    { arbitrary: { runs: 40 } }
  )
})

describe("a policy", () => {
  it.each<readonly [Partial<Policy<typeof State.Type>>, RegExp]>([
    [{ version: 0 }, /version.* 0/],
    [{ version: 1.5 }, /version.* 1.5/],
    [{ version: 2 ** 31 }, /version.* 2147483648/],
    [{ version: NaN }, /version.* NaN/],
    [{ every: 0 }, /every 0 events/],
    [{ every: -3 }, /every -3 events/],
    [{ every: 2.5 }, /every 2.5 events/],
    [{ every: NaN }, /every NaN events/],
    [{ whenReplayExceeds: -1 }, /-1/],
    [{ whenReplayExceeds: NaN }, /NaN/]
  ])("that cannot be followed is refused where the aggregate is defined: %o", (more, said) => {
    assert.throws(() => purse(more), RangeError, said)
  })

  it("is followed otherwise", () => {
    for (
      const more of [{ every: 1 }, { version: 2 ** 31 - 1 }, { whenReplayExceeds: 0 }, {
        whenReplayExceeds: "50 millis"
      }] as const
    ) assert.strictEqual(purse(more).snapshot?.version, more.version ?? 1)
  })
})
