/**
 * The PostgreSQL server that is measured against: that of `DATABASE_URL`, or an embedded one with its defaults. It is
 * started when the first experiment asks for a database, so that what needs none starts none.
 */
import * as EmbeddedPostgres from "@composable-ts/testing/EmbeddedPostgres"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import { connect, query } from "./floor/Connection.ts"

/** What is to be known of a server before its figures are compared with another's. */
export interface Facts {
  readonly version: string
  readonly settings: Readonly<Record<string, string>>
}

/** Settings on which the figures depend; the first four decide whether what was acknowledged survives a power cut. */
const settings = [
  "fsync",
  "synchronous_commit",
  "full_page_writes",
  "wal_sync_method",
  "shared_buffers",
  "max_wal_size",
  "max_connections"
]

export class Server extends Context.Service<Server, {
  /** A fresh, empty database for the length of the scope. */
  readonly database: Effect.Effect<Redacted.Redacted, Error, Scope.Scope>
  /** Of the server, if it was needed. */
  readonly facts: Effect.Effect<Facts | undefined, Error>
}>()("bench/Server") {
  static readonly layer = Layer.effect(
    Server,
    Effect.gen(function*() {
      const scope = yield* Effect.scope
      let started = false
      const url = yield* Effect.cached(Effect.suspend(() => {
        started = true
        return Effect.provideService(EmbeddedPostgres.databaseUrl(), Scope.Scope, scope)
      }))
      return Server.of({
        database: Effect.flatMap(url, (url) =>
          Effect.provideService(
            TestDatabase.make,
            ConfigProvider.ConfigProvider,
            ConfigProvider.fromUnknown({ [TestDatabase.serverVariable]: Redacted.value(url) })
          )),
        facts: Effect.suspend(() => started ? Effect.flatMap(url, factsOf) : Effect.succeed(undefined))
      })
    })
  )
}

const factsOf = (url: Redacted.Redacted): Effect.Effect<Facts, Error> =>
  Effect.scoped(Effect.gen(function*() {
    const client = yield* connect(url)
    const read = (name: string) =>
      query(client, { text: "SELECT current_setting($1)", values: [name], rowMode: "array" })
    const values = yield* Effect.forEach(
      settings,
      (name) => Effect.map(read(name), ([row]) => [name, String(row?.[0])] as const)
    )
    const [version] = yield* read("server_version")
    return { version: String(version?.[0]), settings: Object.fromEntries(values) }
  }))
