/**
 * The database as all stores of this package open it.
 */
import * as Pg from "@effect/sql-pg/PgClient"
import { PgClient } from "@effect/sql-pg/PgClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Reactivity from "effect/reactivity/Reactivity"
import type * as Scope from "effect/Scope"
import { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import * as Migrations from "../Migrations.ts"
import { quoted, schemaName } from "./schemaName.ts"

/** A schema that this program can work on: its name as it is, and as SQL takes it. */
export const open = (given: string | undefined) =>
  Effect.gen(function*() {
    const schema = yield* schemaName(given)
    const client = yield* PgClient
    yield* Effect.provideService(Migrations.check({ schema }), SqlClient, client)
    return { client, schema, name: quoted(schema) }
  })

/** Brings the schema up to date, for who then opens it. */
export const migrate = (schema: string | undefined) =>
  Effect.flatMap(PgClient, (client) => Effect.provideService(Migrations.migrate({ schema }), SqlClient, client))

/** Opens a client like the one given. */
type OpenPipeline = (client: PgClient, depth: number) => Effect.Effect<PgClient, SqlError, Scope.Scope>

/**
 * One connection beside the client's pool, with the client's settings, on which statements are pipelined: the next is at
 * the server before the last is answered, so that the server works on one while this process deals with the other. It is
 * opened when it is first needed, and again after it was lost. Taken from the context in which the store is made.
 */
export const Pipeline: Context.Reference<OpenPipeline> = Context.Reference(
  "@composable-ts/postgres/Database/Pipeline",
  {
    defaultValue: (): OpenPipeline => (client, depth) =>
      Effect.provide(
        Pg.make({
          ...client.config,
          multiplex: true,
          multiplexConcurrency: depth,
          maxConnections: 1,
          minConnections: 0
        }),
        Reactivity.layer
      )
  }
)

/** The largest message that the client takes from the server: a larger row ends the connection. */
export const maxMessageSize = (client: PgClient): number => client.config.maxMessageSize ?? 16 * 1024 * 1024

/**
 * The caller's fiber may be in a transaction of its own, whose snapshot need not show what was committed since, and
 * which may yet roll back. This keeps an effect out of it.
 */
export const outsideTransaction = (client: PgClient) => <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.updateContext(
    effect,
    (context: Context.Context<R>): Context.Context<R> =>
      Context.omit(client.transactionService)(context) as typeof context
  )
