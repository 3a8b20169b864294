/**
 * Run by a test as a process of its own: holds a copy of a migrated template until its input ends, and says so, with the
 * number of migrations that it ran itself. As `run`, it is a whole run with its own global setup.
 */
import { ConfigProvider, Effect } from "effect"
import { SqlClient } from "effect/sql"
import setup from "../src/GlobalSetup.ts"
import * as TestDatabase from "../src/TestDatabase.ts"

const [kind, name] = process.argv.slice(2)
const tearDown = kind === "run" ? await setup() : async () => {}

let migrations = 0
const migrate = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  migrations += 1
  yield* sql`CREATE TABLE things (id int)`
  // Long enough for the others to come meanwhile.
  yield* sql`SELECT pg_sleep(0.3)`
})

await Effect.runPromise(Effect.scoped(Effect.gen(function*() {
  // Read anew: the setup has said in the environment which run this is, as it does before vitest starts its workers.
  yield* Effect.provideService(
    TestDatabase.migrated(name!, migrate),
    ConfigProvider.ConfigProvider,
    ConfigProvider.fromEnv()
  )
  yield* Effect.promise(async () => {
    process.stdout.write(`${JSON.stringify({ migrations, run: process.env[TestDatabase.runVariable] })}\n`)
    for await (const _ of process.stdin);
  })
})))
await tearDown()
