/**
 * A role that may make nothing runs projections and the bus on tables that their owner has made.
 */
import { EventBus } from "@composable-ts/core/EventBus"
import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
import * as Message from "@composable-ts/core/Message"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Layer, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import { randomUUID } from "node:crypto"
import * as Migrations from "../src/Migrations.ts"
import * as PostgresEventBus from "../src/PostgresEventBus.ts"
import * as Projection from "../src/Projection.ts"
import * as Tally from "./Votes.ts"

/** A login role without rights, with a schema for its read models, and a client as that role. */
const makeRole = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const { config } = yield* PgClient.PgClient
  const role = `views_${randomUUID().replaceAll("-", "").slice(0, 16)}`
  const password = randomUUID()
  yield* Effect.acquireRelease(
    sql.unsafe(`CREATE ROLE ${role} LOGIN PASSWORD '${password}'`),
    () => Effect.orDie(Effect.andThen(sql.unsafe(`DROP OWNED BY ${role} CASCADE`), sql.unsafe(`DROP ROLE ${role}`)))
  )
  yield* sql.unsafe(`CREATE SCHEMA views AUTHORIZATION ${role}`)
  const url = new URL(Redacted.value(config.url!))
  url.username = role
  url.password = password
  const client = PgClient.layer({ url: Redacted.make(url.href) })
  return { role, client }
})

const name = { ...Tally.main, schema: "views" }

describe("an application's role", () => {
  it.live("runs projections and the bus with granted rights, and not without", () =>
    Effect.scoped(Effect.gen(function*() {
      const { client, role } = yield* makeRole
      const project = Effect.andThen(Tally.appendVotes(30), Projection.catchUp(Tally.tally(name))).pipe(
        Effect.provide(MemoryEventStore.layer),
        Effect.provide(client)
      )
      const refused = yield* Effect.flip(project)
      assert.match(refused.message, /permission denied/)
      yield* Migrations.migrate
      assert.match((yield* Effect.flip(project)).message, /permission denied/)
      yield* Migrations.grant({ role })
      yield* Migrations.grant({ role })
      assert.strictEqual(yield* project, 30n)

      const told = yield* Effect.gen(function*() {
        const bus = yield* EventBus
        const heard = yield* Deferred.make<string>()
        yield* Effect.forkScoped(
          bus.consume(["news"], { group: "readers" }, ({ message }) => Deferred.succeed(heard, message.type))
        )
        let id = 0
        const tell = Effect.suspend(() =>
          bus.publish("news", Message.make(Tally.voted("a"), { id: `${id++}`, time: 0 }))
        )
        yield* Effect.forkScoped(Effect.forever(Effect.andThen(tell, Effect.sleep(20))))
        return yield* Deferred.await(heard)
      }).pipe(Effect.provide(PostgresEventBus.layer().pipe(Layer.provide(client))), Effect.scoped)
      assert.strictEqual(told, "Voted.v2")

      const drop = Effect.flatMap(SqlClient.SqlClient, (sql) => sql`DROP TABLE composable.checkpoints`)
      const make = Effect.flatMap(SqlClient.SqlClient, (sql) => sql`CREATE TABLE composable.more (n int)`)
      for (const forbidden of [drop, make]) {
        assert.strictEqual((yield* Effect.flip(Effect.provide(forbidden, client)))._tag, "SqlError")
      }
    })).pipe(Effect.provide(TestDatabase.layer)))

  it.live("gets rights on every table that the migrations make", () =>
    Effect.scoped(Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const { role } = yield* makeRole
      yield* Migrations.migrate
      yield* Migrations.grant({ role })
      const rights = yield* sql<{ readonly relname: string; readonly all: boolean }>`
        SELECT relname, has_table_privilege(${role}, oid, 'INSERT') AND has_table_privilege(${role}, oid, 'UPDATE')
          AND has_table_privilege(${role}, oid, 'DELETE') AND has_table_privilege(${role}, oid, 'SELECT') AS all
        FROM pg_class WHERE relnamespace = 'composable'::regnamespace AND relkind IN ('r', 'p')`
      assert.deepStrictEqual(rights.filter(({ all }) => !all).map(({ relname }) => relname), ["checkpoint_migrations"])
    })).pipe(Effect.provide(TestDatabase.layer)))
})
