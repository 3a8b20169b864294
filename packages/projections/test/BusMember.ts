/**
 * A process that consumes: it writes down what it takes in hand, works on it for a moment, and writes down that it is
 * done. Its arguments: the database, and its name.
 */
import { EventBus } from "@composable-ts/core/EventBus"
import * as PgClient from "@effect/sql-pg/PgClient"
import { Effect, Layer, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import * as Lease from "../src/Lease.ts"
import * as PostgresEventBus from "../src/PostgresEventBus.ts"

const [, , url = "", name = ""] = process.argv
const Database = PgClient.layer({ url: Redacted.make(url) })

const program = Effect.gen(function*() {
  const bus = yield* EventBus
  const sql = yield* SqlClient.SqlClient
  yield* bus.consume(["work"], { group: "workers" }, ({ message }) =>
    Effect.gen(function*() {
      yield* sql`INSERT INTO taken (message, key, member) VALUES (${message.id}, ${message.key}, ${name})`
      yield* Effect.sleep(5)
      yield* sql`INSERT INTO done (message, key, member) VALUES (${message.id}, ${message.key}, ${name})`
    }))
}).pipe(
  Effect.provide(PostgresEventBus.layer().pipe(Layer.provideMerge(Database))),
  Effect.provideService(Lease.Time, "1 second")
)

await Effect.runPromise(program)
