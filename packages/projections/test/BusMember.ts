/**
 * A process that consumes: it writes down what it takes in hand, works on it for a moment, and writes down that it is
 * done. Its arguments: the database, its name, and whether it acknowledges what it takes when it is done, as it should, or
 * at once, and then works so slowly that it never is.
 */
import { EventBus } from "@composable-ts/core/EventBus"
import * as PgClient from "@effect/sql-pg/PgClient"
import { Effect, Layer, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import * as Lease from "../src/Lease.ts"
import * as PostgresEventBus from "../src/PostgresEventBus.ts"

const [, , url = "", name = "", acknowledges = "when done"] = process.argv
const Database = PgClient.layer({ url: Redacted.make(url) })

const program = Effect.gen(function*() {
  const bus = yield* EventBus
  const sql = yield* SqlClient.SqlClient
  const isEarly = acknowledges === "at once"
  yield* bus.consume(["work"], { group: "workers" }, ({ message }) => {
    const done = Effect.andThen(
      Effect.sleep(isEarly ? "1 hour" : 5),
      sql`INSERT INTO done (message, key, member) VALUES (${message.id}, ${message.key}, ${name})`
    )
    return Effect.andThen(
      sql`INSERT INTO taken (message, key, member) VALUES (${message.id}, ${message.key}, ${name})`,
      isEarly ? Effect.asVoid(Effect.forkDetach(done)) : Effect.asVoid(done)
    )
  })
}).pipe(
  Effect.provide(PostgresEventBus.layer().pipe(Layer.provideMerge(Database))),
  Effect.provideService(Lease.Time, "1 second")
)

await Effect.runPromise(program)
