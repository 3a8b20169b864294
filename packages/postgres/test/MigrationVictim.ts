/**
 * A process that migrates, and in the middle of it waits for a lock that the test holds, to be killed there. Arguments:
 * the database's URL and the schema.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import { Duration, Effect, Redacted } from "effect"
import { migrate } from "../src/internal/migrate.ts"
import { halfway } from "./MoreMigrations.ts"

const [url = "", schema = ""] = process.argv.slice(2)

await Effect.runPromise(
  migrate(schema, halfway, Duration.seconds(5)).pipe(
    Effect.provide(PgClient.layer({ url: Redacted.make(url), maxConnections: 1, applicationName: "victim" }))
  )
)
