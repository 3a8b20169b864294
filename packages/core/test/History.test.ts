import type { Service } from "@composable-ts/core/EventStore"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as History from "@composable-ts/core/History"
import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
import * as StreamId from "@composable-ts/core/StreamId"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Result, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Account, account, AccountOf2019, AccountOf2021, type AccountState } from "./Account.ts"

const streamId = Result.getOrThrow(StreamId.make("account", "1"))
const { any, noStream } = ExpectedVersion
const encode = (event: Parameters<typeof Account.encode>[0]) => Result.getOrThrow(Account.encode(event))

const opened = Account.Opened({ owner: "Ada", at: 0 })
const deposited = Account.Deposited({ cents: 100, currency: "EUR" })
const owned = (cents: number): AccountState => ({ _tag: "Open", owner: "Ada", cents })

/** One event a second: opened at 1 s, then a deposit of a euro at 2 s and at 3 s. */
const write = (store: Service) =>
  Effect.forEach(
    [opened, deposited, deposited],
    (event, second) =>
      Effect.andThen(TestClock.setTime((second + 1) * 1_000), store.append(streamId, any, [encode(event)]))
  )

/** Each test has a store of its own. */
const test = <A, E>(name: string, body: (store: Service, history: AccountHistory) => Effect.Effect<A, E>): void =>
  it.effect(name, () => Effect.flatMap(MemoryEventStore.make, (store) => body(store, History.make(account, store))))

type AccountHistory = History.History<AccountState, Parameters<typeof Account.encode>[0]>

describe("History", () => {
  test("begins before the first event", (_store, history) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(history.origin, { state: account.initial, version: -1, globalPosition: 0n })
      assert.deepStrictEqual(yield* history.catchUp(streamId, history.origin), history.origin)
      assert.deepStrictEqual(yield* history.stateAt(streamId, { version: 5 }), history.origin)
      assert.deepStrictEqual(yield* Stream.runCollect(history.events(streamId)), [])
    }))

  test("catches up from what is known, and applies nothing twice", (store, history) =>
    Effect.gen(function*() {
      yield* write(store)
      const now = yield* history.catchUp(streamId, history.origin)
      assert.deepStrictEqual(now, { state: owned(200), version: 2, globalPosition: 3n })
      assert.deepStrictEqual(yield* history.catchUp(streamId, now), now)
      yield* store.append(streamId, any, [encode(Account.Withdrawn({ cents: 50 }))])
      assert.deepStrictEqual(yield* history.catchUp(streamId, now), {
        state: owned(150),
        version: 3,
        globalPosition: 4n
      })
      assert.deepStrictEqual(
        yield* history.catchUp(streamId, { state: owned(7), version: 2, globalPosition: 3n }),
        { state: owned(-43), version: 3, globalPosition: 4n },
        "events at or before the known version were applied"
      )
    }))

  test("tells the state after each version, and before the first", (store, history) =>
    Effect.gen(function*() {
      yield* write(store)
      const at = (version: number) => history.stateAt(streamId, { version })
      assert.deepStrictEqual(yield* at(-1), history.origin)
      assert.deepStrictEqual(yield* at(0), { state: owned(0), version: 0, globalPosition: 1n })
      assert.deepStrictEqual(yield* at(1), { state: owned(100), version: 1, globalPosition: 2n })
      assert.deepStrictEqual(yield* at(2), { state: owned(200), version: 2, globalPosition: 3n })
      assert.deepStrictEqual(yield* at(99), yield* at(2))
    }))

  test(
    "tells the state at a time, the event of that very millisecond included",
    (store, history) =>
      Effect.gen(function*() {
        yield* write(store)
        const versionAt = (time: number) => Effect.map(history.stateAt(streamId, { time }), ({ version }) => version)
        const times = [0, 999, 1_000, 1_999, 2_000, 2_999, 3_000, 9_000]
        assert.deepStrictEqual(yield* Effect.forEach(times, versionAt), [-1, -1, 0, 0, 1, 1, 2, 2])
      })
  )

  test(
    "gives the events as the feature knows them, and as the log holds them",
    (store, history) =>
      Effect.gen(function*() {
        yield* store.append(streamId, noStream, [
          encode(opened),
          Result.getOrThrow(AccountOf2019.encode(AccountOf2019.Deposited({ euros: 1 }))),
          Result.getOrThrow(AccountOf2021.encode(AccountOf2021.Deposited({ cents: 100 }))),
          encode(deposited)
        ])
        const events = yield* Stream.runCollect(history.events(streamId))
        assert.deepStrictEqual(events.map(({ event }) => event), [opened, deposited, deposited, deposited])
        assert.deepStrictEqual(events.map(({ recorded }) => recorded), [...(yield* store.read(streamId))])
        assert.deepStrictEqual(
          events.map(({ recorded }) => recorded.type),
          ["Opened.v1", "Deposited.v1", "Deposited.v2", "Deposited.v3"]
        )
        assert.deepStrictEqual((yield* history.catchUp(streamId, history.origin)).state, owned(300))
      })
  )

  test("folds a history of many pages", (store, history) =>
    Effect.gen(function*() {
      yield* store.append(streamId, noStream, [encode(opened), ...Array(1_999).fill(encode(deposited))])
      const { state, version } = yield* history.catchUp(streamId, history.origin)
      assert.deepStrictEqual([state, version], [owned(199_900), 1_999])
    }))

  test("gives a command's events, in whichever stream", (store, history) =>
    Effect.gen(function*() {
      yield* write(store)
      yield* store.append(streamId, any, [encode(deposited), encode(Account.Closed())], { commandId: "c-1" })
      assert.deepStrictEqual((yield* history.ofCommand("c-1")).map(({ event }) => event), [
        deposited,
        Account.Closed()
      ])
      assert.deepStrictEqual(yield* history.ofCommand("c-2"), [])
    }))
})
