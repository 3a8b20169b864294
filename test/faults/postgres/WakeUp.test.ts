/**
 * A connection that listens and dies without a word, or cannot be had: readers are woken all the same, and nobody waits
 * for it in the end.
 */
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import type * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import type { WakeUp } from "@composable-ts/postgres/WakeUp"
import { assert } from "@effect/vitest"
import { Array, Effect, Exit, Redacted, Schedule, Scope, Stream } from "effect"
import { several, stream } from "../../../packages/postgres/test/Facts.ts"
import * as Invariants from "../../../packages/postgres/test/Invariants.ts"
import { suite, type TestLog } from "../../../packages/postgres/test/TestLog.ts"
import * as Follower from "./Follower.ts"
import * as TcpProxy from "./TcpProxy.ts"

const pause = Schedule.spaced("5 millis")

const isListen = (data: Buffer) => data.includes("LISTEN")

/** A proxy before the log's server, and the URL by which to reach it. */
const proxyOf = ({ url }: TestLog) =>
  Effect.gen(function*() {
    const direct = new URL(Redacted.value(url))
    const proxy = yield* TcpProxy.make(Number(direct.port))
    direct.port = String(proxy.port)
    return { ...proxy, url: Redacted.make(direct.href) }
  })

/** A store behind a proxy. */
const proxied = (log: TestLog, options?: PostgresEventStore.Options) =>
  Effect.gen(function*() {
    const proxy = yield* proxyOf(log)
    return { proxy, store: yield* log.open({ url: proxy.url, maxConnections: 3 }, options) }
  })

/** Waits for this to have happened at the proxy. */
const happened = (proxy: TcpProxy.TcpProxy, count: number) =>
  Effect.repeat(Effect.sync(proxy.happened), { until: (happened) => happened >= count, schedule: pause })

const append = (log: TestLog) => log.store.append(stream("a"), ExpectedVersion.any, several(2))

/** So that polling cannot be what wakes. */
const never = "1 hour"

/**
 * A subscriber that has caught up, a listening connection that then falls silent, and an append that it hears nothing
 * of.
 */
const silenced = (log: TestLog, wakeUp: WakeUp) =>
  Effect.gen(function*() {
    const { proxy, store } = yield* proxied(log, { wakeUp })
    const follower = yield* Follower.follow(store)
    for (let i = 1; i <= 3; i++) {
      yield* append(log)
      yield* Effect.timeout(follower.received(2 * i), "5 seconds")
    }
    proxy.silence(isListen)
    yield* append(log)
    return { follower, proxy }
  })

suite("waking readers", (test, control) => {
  test("T62: a listening connection that falls silent is noticed, replaced, and what was missed is made up for", (log) =>
    Effect.gen(function*() {
      const { follower } = yield* silenced(log, { heartbeat: "200 millis", longestPause: never })
      yield* Effect.timeout(follower.received(8), "5 seconds")
      // The new one listens.
      for (let i = 5; i <= 7; i++) {
        yield* append(log)
        yield* Effect.timeout(follower.received(2 * i), "5 seconds")
      }
      const rows = yield* Invariants.readRows(log.sql, log.schema)
      assert.deepStrictEqual(Invariants.deliveryViolations(rows, follower.delivered), [])
    }))

  control("T62 control: without the heartbeat it is not noticed", (log) =>
    Effect.gen(function*() {
      const { follower } = yield* silenced(log, { heartbeat: never, longestPause: never })
      yield* Effect.sleep("2 seconds")
      assert.strictEqual(follower.delivered.length, 6)
    }))

  test("T62: while no connection can listen, polling stands in", (log) =>
    Effect.gen(function*() {
      const proxy = yield* proxyOf(log)
      for (let i = 0; i < 1_000; i++) proxy.arrange({ kind: "requestLost", when: isListen })
      const store = yield* log.open({ url: proxy.url }, { wakeUp: { longestPause: "200 millis" } })
      const follower = yield* Follower.follow(store)
      for (let i = 1; i <= 5; i++) {
        yield* append(log)
        yield* Effect.timeout(follower.received(2 * i), "5 seconds")
      }
      yield* happened(proxy, 3)
      assert.isBelow(proxy.happened(), 100)
    }))

  for (
    const [state, at] of [
      ["that fell silent", "listening"],
      ["that never answers", "connecting"]
    ] as const
  ) {
    test(`T62: closing a store does not wait for a listening connection ${state}`, (log) =>
      Effect.gen(function*() {
        const proxy = yield* proxyOf(log)
        const scope = yield* Scope.make()
        if (at === "connecting") proxy.arrange({ kind: "silence", when: isListen })
        const store = yield* Scope.provide(log.open({ url: proxy.url }), scope)
        const follower = yield* Follower.follow(store)
        if (at === "connecting") {
          yield* happened(proxy, 1)
        } else {
          yield* append(log)
          yield* Effect.timeout(follower.received(2), "5 seconds")
          proxy.silence(isListen)
        }
        yield* Effect.timeout(Scope.close(scope, Exit.void), "3 seconds")
        yield* Effect.repeat(Effect.sync(proxy.open), { until: (count) => count === 0, schedule: pause }).pipe(
          Effect.timeout("3 seconds")
        )
      }))
  }

  test("a store that is told to poll never listens, and wakes its readers", (log) =>
    Effect.gen(function*() {
      const { proxy, store } = yield* proxied(log, { wakeUp: { by: "poll", longestPause: "200 millis" } })
      proxy.arrange({ kind: "requestLost", when: isListen })
      const followers = yield* Effect.forEach(Array.range(1, 3), () => Follower.follow(store))
      for (let i = 1; i <= 5; i++) {
        yield* append(log)
        for (const follower of followers) yield* Effect.timeout(follower.received(2 * i), "5 seconds")
      }
      assert.strictEqual(proxy.happened(), 0)
    }))

  test("T62: the health of a store whose database falls silent is known within its time-out", (log) =>
    Effect.gen(function*() {
      const { proxy, store } = yield* proxied(log, { health: { timeout: "200 millis" } })
      assert.notStrictEqual((yield* store.health).status, "unreachable")
      proxy.blackhole()
      // The driver alone waits for five seconds for a silent server to confirm that it gave up.
      const report = yield* Effect.timeout(store.health, "2 seconds")
      assert.strictEqual(report.status, "unreachable")
      assert.match(report.problems[0]?.message ?? "", /neither a connection nor an answer within 200ms/)
      assert.isUndefined(report.server)
      proxy.close()
      assert.strictEqual((yield* Effect.timeout(store.health, "2 seconds")).status, "unreachable")
    }))

  test("T62: a read on a connection that fell silent ends in time, and a subscription goes on when it can", (log) =>
    Effect.gen(function*() {
      const { proxy, store } = yield* proxied(log, {
        readTimeout: "300 millis",
        wakeUp: { heartbeat: "300 millis", longestPause: "100 millis" }
      })
      yield* append(log)
      yield* store.read(stream("a"))
      proxy.silence(() => true)
      const error = yield* Effect.timeout(Effect.flip(store.read(stream("a"))), "2 seconds")
      assert.deepInclude(error, { _tag: "EventStoreError", reason: "Unreachable", retryable: true })
      assert.match(String(error), /no answer within 300ms/)
      // Core's own subscription tries again; the pool replaces what is silent after five seconds.
      const events = yield* Effect.timeout(
        Stream.runCollect(Stream.take(store.subscribe({ after: 0n }), 2)),
        "15 seconds"
      )
      assert.strictEqual(events.length, 2)
    }))
})
