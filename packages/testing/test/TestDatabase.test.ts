import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it, layer } from "@effect/vitest"
import { Config, Effect, Exit, Layer, Redacted, Scope } from "effect"
import { SqlClient } from "effect/sql"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import * as TestDatabase from "../src/TestDatabase.ts"

const nameOf = (url: Redacted.Redacted) => new URL(Redacted.value(url)).pathname.slice(1)

/** Starts a process that holds a copy; yields once it does. */
const holder = (kind: "run" | "worker", name: string) =>
  Effect.gen(function*() {
    const server = Redacted.value(yield* Config.Redacted(TestDatabase.serverVariable))
    const { [TestDatabase.runVariable]: run, [TestDatabase.serverVariable]: _, ...env } = process.env
    const own = kind === "run"
      ? { DATABASE_URL: server }
      : { [TestDatabase.serverVariable]: server, [TestDatabase.runVariable]: run }
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(process.execPath, [fileURLToPath(new URL("TestDatabase.holder.ts", import.meta.url)), kind, name], {
          env: { ...env, ...own },
          stdio: ["pipe", "pipe", "inherit"]
        })
      ),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
    const ended = once(child, "exit")
    const [line] = yield* Effect.promise(() => once(child.stdout, "data") as Promise<[Buffer]>)
    const said: { readonly migrations: number; readonly run: string } = JSON.parse(line.toString())
    const end = (how: () => void) =>
      Effect.promise(() => {
        how()
        return ended
      })
    return { ...said, kill: end(() => child.kill("SIGKILL")), leave: end(() => child.stdin.end()) }
  })

const databases = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ datname: string }>`SELECT datname FROM pg_database`
  return rows.map((row) => row.datname)
})

describe("TestDatabase", { timeout: 60_000 }, () => {
  it.live("makes databases that know nothing of each other", () =>
    Effect.gen(function*() {
      const urls = yield* Effect.all([TestDatabase.make, TestDatabase.make], { concurrency: 2 })
      const counts = yield* Effect.forEach(urls, (url, index) =>
        Effect.gen(function*() {
          const sql = yield* SqlClient.SqlClient
          yield* sql`CREATE TABLE things (id int)`
          yield* sql`INSERT INTO things SELECT generate_series(0, ${index}::int)`
          return yield* sql<{ count: bigint; name: string }>`SELECT count(*), current_database() AS name FROM things`
        }).pipe(Effect.provide(PgClient.layer({ url }))))
      assert.deepStrictEqual(counts.flat(), urls.map((url, index) => ({ count: BigInt(index + 1), name: nameOf(url) })))
    }))

  it.live("drops the database at the end of the scope, though a client is still connected", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const url = yield* Scope.provide(TestDatabase.make, scope)
      const seen = yield* Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        // A second client stays inside a transaction while the first watches.
        const connection = yield* sql.reserve
        yield* connection.executeRaw("BEGIN", [])
        const before = yield* Effect.provide(databases, TestDatabase.layer)
        yield* Scope.close(scope, Exit.void)
        const after = yield* Effect.provide(databases, TestDatabase.layer)
        return { before: before.includes(nameOf(url)), after: after.includes(nameOf(url)) }
      }).pipe(Effect.scoped, Effect.provide(PgClient.layer({ url, maxConnections: 1 })))
      assert.deepStrictEqual(seen, { before: true, after: false })
    }))

  it.live("takes twenty at once", () =>
    Effect.gen(function*() {
      const urls = yield* Effect.all(Array.from({ length: 20 }, () => TestDatabase.make), { concurrency: 20 })
      assert.strictEqual(new Set(urls.map(nameOf)).size, 20)
    }))

  it.live("migrates once, and gives each its own copy", () =>
    Effect.gen(function*() {
      let migrations = 0
      const migrate = Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        migrations += 1
        yield* sql`CREATE TABLE things (id int)`
        yield* sql`INSERT INTO things VALUES (1)`
      })
      const name = `once ${process.pid}`
      const urls = yield* Effect.all(Array.from({ length: 6 }, () => TestDatabase.migrated(name, migrate)), {
        concurrency: 6
      })
      const counts = yield* Effect.forEach(urls, (url) =>
        Effect.gen(function*() {
          const sql = yield* SqlClient.SqlClient
          yield* sql`INSERT INTO things VALUES (2)`
          return (yield* sql`SELECT id FROM things`).length
        }).pipe(Effect.provide(PgClient.layer({ url }))))
      assert.deepStrictEqual(counts, [2, 2, 2, 2, 2, 2])
      assert.strictEqual(migrations, 1)
    }))

  it.live("does not take for migrated what failed half-way", () =>
    Effect.gen(function*() {
      const name = `half-way ${process.pid}`
      const create = Effect.flatMap(SqlClient.SqlClient, (sql) => sql`CREATE TABLE things (id int)`)
      const failed = yield* Effect.flip(TestDatabase.migrated(name, Effect.andThen(create, Effect.fail("half-way"))))
      assert.strictEqual(failed, "half-way")
      const url = yield* TestDatabase.migrated(name, create)
      const rows = Effect.flatMap(SqlClient.SqlClient, (sql) => sql`SELECT * FROM things`)
      assert.deepStrictEqual(yield* Effect.provide(rows, PgClient.layer({ url })), [])
    }))

  it.live("migrates once for all processes of a run", () =>
    Effect.gen(function*() {
      const name = `processes ${process.pid}`
      const holders = yield* Effect.all(Array.from({ length: 3 }, () => holder("worker", name)), { concurrency: 3 })
      assert.deepStrictEqual(holders.map(({ migrations }) => migrations).toSorted(), [0, 0, 1])
      assert.strictEqual(new Set(holders.map(({ run }) => run)).size, 1)
    }))

  it.live("leaves nothing on the server: a run drops its own, the next start what a killed run has left", () =>
    Effect.gen(function*() {
      const of = (run: string) =>
        Effect.map(
          Effect.provide(databases, TestDatabase.layer),
          (names) => names.filter((name) => name.startsWith(`test_${run}_`)).length
        )
      const killed = yield* holder("run", "things")
      const living = yield* holder("run", "things")
      assert.deepStrictEqual([yield* of(killed.run), yield* of(living.run)], [2, 2])
      yield* killed.kill
      assert.strictEqual(yield* of(killed.run), 2)
      const next = yield* holder("run", "things")
      assert.deepStrictEqual([yield* of(killed.run), yield* of(living.run), yield* of(next.run)], [0, 2, 2])
      yield* living.leave
      yield* next.leave
      assert.deepStrictEqual([yield* of(living.run), yield* of(next.run)], [0, 0])
    }))

  const things = Layer.effectDiscard(
    Effect.flatMap(SqlClient.SqlClient, (sql) => sql`CREATE TABLE IF NOT EXISTS things (id int)`)
  )
  layer(TestDatabase.layerMigrated(`layer ${process.pid}`, things), {
    excludeTestServices: true,
    timeout: "60 seconds"
  })("as a migrated layer", (it) => {
    it.effect("provides the clients beside what the layer provides", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        assert.deepStrictEqual(yield* sql`SELECT * FROM things`, [])
        const [row] = yield* sql<{ readonly name: string }>`SELECT current_database() AS name`
        assert.match(row!.name, /^test_[0-9a-f]{12}_[0-9a-f]{20}$/)
      }))
  })

  layer(TestDatabase.layer, { excludeTestServices: true, timeout: "60 seconds" })("as a layer", (it) => {
    it.effect("is empty and keeps what PostgreSQL promises by default", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const tables = yield* sql`SELECT 1 FROM pg_tables WHERE schemaname = 'public'`
        const settings = yield* sql`SELECT
          current_setting('fsync') AS fsync,
          current_setting('synchronous_commit') AS synchronous_commit,
          current_setting('server_encoding') AS encoding`
        assert.deepStrictEqual(tables, [])
        assert.deepStrictEqual(settings, [{ fsync: "on", synchronous_commit: "on", encoding: "UTF8" }])
      }))
  })
})
