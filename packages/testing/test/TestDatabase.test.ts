import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Exit, Redacted, Scope } from "effect"
import { SqlClient } from "effect/sql"
import * as TestDatabase from "../src/TestDatabase.ts"

const nameOf = (url: Redacted.Redacted) => new URL(Redacted.value(url)).pathname.slice(1)

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
