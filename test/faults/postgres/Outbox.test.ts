/**
 * The outbox where connections break and workers vanish: entries are stored once, with their events or not at all, and
 * each is worked off by somebody.
 */
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as Outbox from "@composable-ts/core/Outbox"
import * as PostgresOutbox from "@composable-ts/postgres/PostgresOutbox"
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert } from "@effect/vitest"
import { Array, Effect, Exit, Redacted, Schedule, Scope } from "effect"
import { commandId, several, stream } from "../../../packages/postgres/test/Facts.ts"
import * as Sabotage from "../../../packages/postgres/test/Sabotage.ts"
import { connect, suite, type TestLog } from "../../../packages/postgres/test/TestLog.ts"
import * as TcpProxy from "./TcpProxy.ts"

const { any } = ExpectedVersion

const rounds = Number(process.env.FAULT_OUTBOX_ROUNDS ?? 25)

const openOutbox = (log: TestLog) =>
  Effect.gen(function*() {
    const client = yield* connect({ url: log.url })
    const { schema } = log
    return yield* Effect.provideService(PostgresOutbox.open({ schema }), PgClient.PgClient, client)
  })

/** A store behind a proxy, and command ids at whose first sending a fault happens. */
const proxied = ({ open, url }: TestLog) =>
  Effect.gen(function*() {
    const direct = new URL(Redacted.value(url))
    const proxy = yield* TcpProxy.make(Number(direct.port))
    direct.port = String(proxy.port)
    const store = yield* open({ url: Redacted.make(direct.href), maxConnections: 3 })
    const doomed = (kind: TcpProxy.Fault["kind"]) => {
      const id = commandId()
      proxy.arrange({ kind, when: (data) => data.includes(id) })
      return id
    }
    return { proxy, store, doomed }
  })

const stored = ({ sql }: TestLog) =>
  sql<{ command_id: string; count: number }>`SELECT command_id, count(*)::int FROM outbox GROUP BY command_id`

suite("the outbox under faults", (test, control) => {
  for (const kind of ["replyLost", "requestUnanswered", "requestLost"] as const) {
    test(`T10: ${rounds} times ${kind}: the entries are stored once, as their events are`, (log) =>
      Effect.gen(function*() {
        const { doomed, proxy, store } = yield* proxied(log)
        const ids = Array.makeBy(rounds, () => doomed(kind))
        yield* Effect.forEach(ids, (commandId, i) =>
          Effect.gen(function*() {
            const options = { commandId, outbox: [{ kind: "mail", body: i }, { kind: "bill", body: i }] }
            const result = yield* store.append(stream(`s-${i % 4}`), any, several(1 + i % 2), options)
            assert.isFalse(result.duplicate)
            // Whoever asks again, as after a crash of its own, adds nothing.
            const again = yield* log.store.append(stream(`s-${i % 4}`), any, several(1 + i % 2), options)
            assert.isTrue(again.duplicate)
          }), { concurrency: 4 })
        assert.strictEqual(proxy.happened(), rounds)
        const rows = yield* stored(log)
        assert.deepStrictEqual(rows.map((row) => row.command_id).toSorted(), ids.toSorted())
        for (const { count } of rows) assert.strictEqual(count, 2)
      }))
  }

  control(
    "T10 control: without the look-up of command ids, a lost acknowledgement stores entries twice",
    (log) =>
      Effect.gen(function*() {
        yield* Sabotage.forgetCommands(log.sql, log.schema)
        const { doomed, store } = yield* proxied(log)
        // The key would refuse what the look-up lets through.
        yield* log.sql`ALTER TABLE outbox DROP CONSTRAINT outbox_pkey`
        yield* store.append(stream("a"), any, several(2), {
          commandId: doomed("replyLost"),
          outbox: [{ kind: "mail", body: 1 }]
        })
        assert.deepStrictEqual((yield* stored(log)).map(({ count }) => count), [2])
      })
  )

  test("T44: what a worker claimed and never ended goes to another after the lease, and not before", (log) =>
    Effect.gen(function*() {
      yield* log.store.append(stream("a"), any, several(1), {
        outbox: Array.makeBy(10, (body) => ({ kind: "mail", body }))
      })
      const survivor = yield* openOutbox(log)
      const ownScope = yield* Scope.make()
      const victim = yield* Scope.provide(openOutbox(log), ownScope)
      const lost = yield* victim.claim({ limit: 6, lease: "400 millis" })
      // Its connections go with it.
      yield* Scope.close(ownScope, Exit.void)
      const rest = yield* survivor.claim({ limit: 10, lease: "1 hour" })
      assert.strictEqual(rest.length, 4)
      const taken: globalThis.Array<Outbox.Claim> = []
      yield* Effect.repeat(
        Effect.tap(
          survivor.claim({ limit: 10, lease: "1 hour" }),
          (claims) => Effect.sync(() => taken.push(...claims))
        ),
        { until: () => taken.length >= 6, schedule: Schedule.spaced("10 millis") }
      )
      assert.deepStrictEqual(taken.map(Outbox.idempotencyKey), lost.map(Outbox.idempotencyKey))
      assert.deepStrictEqual(taken.map(({ attempt }) => attempt), [2, 2, 2, 2, 2, 2])
      // It was only slow: what it did is not recorded any more.
      const slow = yield* openOutbox(log)
      const error = yield* Effect.flip(slow.complete(lost))
      assert.isTrue(error instanceof Outbox.StaleClaim && error.entries.length === 6)
      yield* survivor.complete([...rest, ...taken])
      assert.deepStrictEqual(yield* survivor.counts, [])
    }))
})
