/**
 * Logs that come from elsewhere: copied row by row, restored from an older backup, or grown for a very long time.
 */
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as EmbeddedPostgres from "@composable-ts/testing/EmbeddedPostgres"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Redacted, References, Scope, Stream } from "effect"
import { execFileSync } from "node:child_process"
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { noted, several, stream } from "../../../packages/postgres/test/Facts.ts"
import * as Invariants from "../../../packages/postgres/test/Invariants.ts"
import * as TestLog from "../../../packages/postgres/test/TestLog.ts"
import { suite } from "../../../packages/postgres/test/TestLog.ts"
import * as Follower from "./Follower.ts"
import * as TcpProxy from "./TcpProxy.ts"

const { any, exact } = ExpectedVersion

describe("a log from elsewhere", () => {
  it.live(
    "T31: copied row by row into a fresh cluster, it is the same log, and goes on where it ended",
    () =>
      Effect.gen(function*() {
        const before = yield* EmbeddedPostgres.start()
        const log = yield* TestLog.make(before.url)
        const metadata = { metadata: { by: "me" }, correlationId: "conversation" }
        for (let i = 0; i < 60; i++) {
          yield* log.store.append(stream(`s-${i % 7}`), any, several(1 + i % 5), {
            commandId: `command-${i}`,
            ...metadata
          })
        }
        yield* log.store.append(stream("s-0"), any, [noted({ text: "\\.\t\n \"x\"", n: 0.1 })], { commandId: "last" })
        const whole = yield* log.store.readAll({ after: 0n, limit: 1_000 })
        const file = join(before.dataDir, "cluster", "copy")
        yield* log.sql.unsafe(`COPY events TO '${file}' WITH (FORMAT binary)`)

        const fresh = yield* EmbeddedPostgres.start()
        const other = yield* TestLog.make(fresh.url)
        yield* other.sql.unsafe(`COPY events FROM '${file}' WITH (FORMAT binary)`)
        assert.deepStrictEqual(yield* other.store.readAll({ after: 0n, limit: 1_000 }), whole)
        const checkpoint = whole.head / 2n
        for (const after of [0n, checkpoint]) {
          const rest = whole.events.filter(({ globalPosition }) => globalPosition > after)
          const followed = yield* Stream.runCollect(Stream.take(other.store.subscribe({ after }), rest.length))
          assert.deepStrictEqual(followed, rest)
        }
        const version = whole.events.filter(({ streamId }) => streamId === stream("s-0")).length - 1
        const again = yield* other.store.append(stream("s-0"), any, [noted({ text: "\\.\t\n \"x\"", n: 0.1 })], {
          commandId: "last"
        })
        assert.deepStrictEqual(again, { version, globalPosition: whole.head, duplicate: true })
        const next = yield* other.store.append(stream("s-0"), exact(version), several(1))
        assert.deepStrictEqual(next, { version: version + 1, globalPosition: whole.head + 1n, duplicate: false })
        yield* Invariants.assertSound(other.sql, other.schema)
      }),
    60_000
  )

  it.live(
    "T32: a subscriber that has seen more than the restored log holds stops loudly, whether it ran or comes back",
    () =>
      Effect.gen(function*() {
        const folder = mkdtempSync(join(tmpdir(), "faults-"))
        // Whoever the server runs as must be able to enter it, or else the cluster is kept elsewhere.
        chmodSync(folder, 0o755)
        yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(folder, { recursive: true })))
        const [original, backup] = [join(folder, "original"), join(folder, "backup")]
        const schema = yield* Effect.scoped(Effect.gen(function*() {
          const log = yield* TestLog.make((yield* EmbeddedPostgres.start({ dataDir: original })).url)
          for (let i = 0; i < 10; i++) yield* log.store.append(stream("a"), any, several(10))
          return log.schema
        }))
        // Taken while the server is down: a replica whose replay was paused, or last night's backup, holds the same.
        mkdirSync(backup)
        for (const part of ["cluster", "password"]) execFileSync("cp", ["-a", join(original, part), backup])

        const life = yield* Scope.make()
        const server = yield* Scope.provide(EmbeddedPostgres.start({ dataDir: original }), life)
        const proxy = yield* TcpProxy.make(server.port)
        const url = new URL(Redacted.value(server.url))
        url.port = String(proxy.port)
        const store = yield* Effect.provideService(
          TestLog.openStore({ url: Redacted.make(url.href) }, { schema }),
          References.MinimumLogLevel,
          "Error"
        )
        const follower = yield* Follower.follow(store)
        for (let i = 0; i < 20; i++) yield* store.append(stream("a"), any, several(10))
        yield* Effect.timeout(follower.received(300), "10 seconds")
        yield* server.kill
        const restored = yield* EmbeddedPostgres.start({ dataDir: backup })
        proxy.retarget(restored.port)
        yield* Scope.close(life, Exit.void)

        const lost = { _tag: "PositionBeyondHead", position: 300n, head: 100n } as const
        const stopped = yield* Effect.timeout(Effect.flip(follower.received(301)), "10 seconds")
        assert.deepInclude(stopped, lost)
        const returned = yield* Effect.flip(Stream.runDrain(store.subscribe({ after: 300n })))
        assert.deepInclude(returned, lost)
        assert.strictEqual(follower.delivered.length, 300)

        // The way out: what both logs share is followed as ever.
        const followed = yield* Effect.forkChild(Stream.runCollect(Stream.take(store.subscribe({ after: 90n }), 15)))
        assert.deepInclude(yield* store.append(stream("a"), exact(99), several(5)), { globalPosition: 105n })
        assert.deepStrictEqual(
          (yield* Fiber.join(followed)).map(({ globalPosition, version }) => [Number(globalPosition), version]),
          Array.from({ length: 15 }, (_, i) => [91 + i, 90 + i])
        )
      }),
    60_000
  )
})

suite("a log that has grown for very long", (_, control) => {
  // Its first event stands there by hand: nobody waits for 10^18.
  for (const start of [2n ** 31n - 3n, 2n ** 53n - 3n, 10n ** 18n - 3n]) {
    control(`T29: positions from ${start} on are exact, wherever they are told`, (log) =>
      Effect.gen(function*() {
        yield* log.store.append(stream("seed"), any, several(1))
        yield* log.sql`ALTER TABLE events DISABLE TRIGGER ALL`
        yield* log.sql`UPDATE events SET global_position = ${start}`
        yield* log.sql`ALTER TABLE events ENABLE TRIGGER ALL, ENABLE ALWAYS TRIGGER events_immutable,
          ENABLE ALWAYS TRIGGER events_erasable`

        const follower = yield* Effect.forkChild(
          Stream.runCollect(Stream.take(log.store.subscribe({ after: start - 1n }), 9))
        )
        const positions = (count: number) => Array.from({ length: count }, (_, i) => start + BigInt(i))
        const told: Array<bigint> = [start]
        for (let i = 0; i < 4; i++) {
          const { globalPosition } = yield* log.store.append(stream("a"), any, several(2), { commandId: `c-${i}` })
          told.push(globalPosition - 1n, globalPosition)
        }
        assert.deepStrictEqual(told, positions(9))
        const page = yield* log.store.readAll({ after: start - 1n, limit: 100 })
        assert.deepStrictEqual(page.events.map(({ globalPosition }) => globalPosition), positions(9))
        assert.deepStrictEqual([page.position, page.head], [start + 8n, start + 8n])
        assert.deepStrictEqual(
          (yield* log.store.readAll({ after: start + 3n, limit: 1 })).events.map(({ globalPosition }) =>
            globalPosition
          ),
          [start + 4n]
        )
        assert.deepStrictEqual(
          (yield* log.store.read(stream("a"))).map(({ globalPosition }) => globalPosition),
          positions(9).slice(1)
        )
        assert.deepInclude(yield* log.store.append(stream("a"), any, several(2), { commandId: "c-1" }), {
          globalPosition: start + 4n,
          duplicate: true
        })
        assert.deepStrictEqual((yield* Fiber.join(follower)).map(({ globalPosition }) => globalPosition), positions(9))
        const beyond = yield* Effect.flip(Stream.runDrain(log.store.subscribe({ after: start + 9n })))
        assert.deepInclude(beyond, { _tag: "PositionBeyondHead", position: start + 9n, head: start + 8n })
      }))
  }
})
