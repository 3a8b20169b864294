/**
 * A disk without room, for any user and without a file system of one's own: the file in which the server keeps large
 * events becomes `/dev/full`, which takes no byte. The server's own code meets ENOSPC where it makes a table larger, and
 * answers 53100. Where it is the write-ahead log's next file, the server panics, as it does on a real disk.
 */
import * as EmbeddedPostgres from "@composable-ts/testing/EmbeddedPostgres"
import { assert, describe, it } from "@effect/vitest"
import { Array, Effect, Fiber, References, Schedule } from "effect"
import { isSqlError } from "effect/sql/SqlError"
import { randomBytes } from "node:crypto"
import { chmodSync, chownSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Patience } from "../../../packages/postgres/src/internal/sendGroup.ts"
import { noted, several, stream } from "../../../packages/postgres/test/Facts.ts"
import * as Invariants from "../../../packages/postgres/test/Invariants.ts"
import * as TestLog from "../../../packages/postgres/test/TestLog.ts"
import * as Follower from "./Follower.ts"

const any = { _tag: "Any" } as const

/** An event that no page of the table itself has room for, and that does not become smaller by compression. */
const large = () => noted(randomBytes(6_000).toString("base64"))

/** Takes away the room for large events of a log that has none yet, and gives it back. */
const disk = (server: EmbeddedPostgres.EmbeddedPostgres, { sql }: TestLog.TestLog) =>
  Effect.gen(function*() {
    const [row] = yield* sql<{ path: string }>`SELECT pg_relation_filepath(reltoastrelid) AS path
      FROM pg_class WHERE oid = 'events'::regclass`
    const path = join(server.dataDir, "cluster", row!.path)
    const { gid, mode, size, uid } = statSync(path)
    assert.strictEqual(size, 0)
    // Whoever has the file open opens it anew: on a real disk that is full there is nothing to open.
    const reopen = sql`ALTER TABLE events SET (toast.autovacuum_enabled = false)`
    const fill = Effect.andThen(
      Effect.sync(() => {
        rmSync(path)
        symlinkSync("/dev/full", path)
      }),
      reopen
    )
    const free = Effect.andThen(
      Effect.sync(() => {
        rmSync(path)
        writeFileSync(path, "")
        chmodSync(path, mode)
        chownSync(path, uid, gid)
      }),
      reopen
    )
    return { fill, free }
  })

/** The file in which the write-ahead log of a server that has just been made will go on. */
const nextSegment = (server: EmbeddedPostgres.EmbeddedPostgres): string => {
  const folder = join(server.dataDir, "cluster/pg_wal")
  const segments = readdirSync(folder).filter((name) => /^[0-9A-F]{24}$/.test(name)).toSorted()
  assert.lengthOf(segments, 1)
  const place = Number.parseInt(segments[0]!.slice(-8), 16) + 1
  return join(folder, segments[0]!.slice(0, -8) + place.toString(16).toUpperCase().padStart(8, "0"))
}

/** How often the server has met the full disk. */
const refusals = (server: EmbeddedPostgres.EmbeddedPostgres): number =>
  readFileSync(join(server.dataDir, "postgres.log"), "utf8").split("No space left on device").length - 1

describe("a disk without room", () => {
  it.live(
    "T63: appends fail typed when patience ends; those that still wait go on as soon as there is room",
    () =>
      Effect.gen(function*() {
        const server = yield* EmbeddedPostgres.start()
        const log = yield* TestLog.make(server.url)
        const { fill, free } = yield* disk(server, log)
        const other = yield* log.another
        const impatient = yield* Effect.provideService(log.another, Patience, "1 second")
        const follower = yield* Follower.follow(other)
        for (let i = 0; i < 10; i++) yield* log.store.append(stream("a"), any, several(3))
        yield* fill

        const refused = yield* Effect.forEach(
          Array.range(1, 8),
          (i) => Effect.flip(impatient.append(stream(`b-${i}`), any, [large(), large()])),
          { concurrency: "unbounded" }
        )
        for (const error of refused) {
          assert.strictEqual(error._tag, "EventStoreError")
          if (error._tag !== "EventStoreError") continue
          assert.isTrue(error.retryable)
          assert.isTrue(isSqlError(error.cause))
          if (isSqlError(error.cause)) assert.deepInclude(error.cause.reason.cause, { code: "53100" })
        }
        assert.isAbove(refusals(server), 2, "they were tried again")
        assert.strictEqual((yield* log.store.readAll({ after: 0n, limit: 100 })).events.length, 30)

        const before = refusals(server)
        const waiting = yield* Effect.forEach(
          Array.range(1, 32),
          (i) => Effect.forkChild([log.store, other][i % 2]!.append(stream(`c-${i % 4}`), any, [large()]))
        )
        yield* Effect.repeat(Effect.sync(() => refusals(server)), {
          until: (count) => count > before + 2,
          schedule: Schedule.spaced("10 millis")
        })
        yield* free
        yield* Effect.forEach(waiting, (fiber) => Fiber.join(fiber))

        const rows = yield* Invariants.assertSound(log.sql, log.schema, log.history)
        assert.strictEqual(rows.length, 30 + 32)
        yield* Effect.timeout(follower.received(rows.length), "10 seconds")
        assert.deepStrictEqual(Invariants.deliveryViolations(rows, follower.delivered), [])
      }),
    60_000
  )

  it.live(
    "T63: for the write-ahead log makes the server panic again and again; with room, what waited goes on, and nothing is lost",
    () =>
      Effect.gen(function*() {
        const server = yield* EmbeddedPostgres.start()
        const log = yield* TestLog.make(server.url)
        const patient = yield* Effect.provideService(log.another, Patience, "50 seconds")
        for (let i = 0; i < 10; i++) yield* log.store.append(stream("a"), any, several(3))

        const next = nextSegment(server)
        symlinkSync("/dev/full", next)
        yield* log.sql`SELECT pg_switch_wal()::text`
        const waiting = yield* Effect.forEach(
          Array.range(1, 16),
          (i) => Effect.forkChild(patient.append(stream(`b-${i % 4}`), any, several(2)))
        )
        yield* Effect.repeat(Effect.sync(() => readFileSync(join(server.dataDir, "postgres.log"), "utf8")), {
          until: (said) => said.split("PANIC:").length > 3,
          schedule: Schedule.spaced("10 millis")
        })
        rmSync(next)
        yield* Effect.forEach(waiting, (fiber) => Fiber.join(fiber))

        const rows = yield* Invariants.assertSound(log.sql, log.schema, log.history)
        assert.strictEqual(rows.length, 30 + 32)
      }).pipe(Effect.provideService(References.MinimumLogLevel, "Error")),
    60_000
  )
})
