/**
 * The database as all stores of this package open it.
 */
import { PgClient } from "@effect/sql-pg/PgClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { SqlClient } from "effect/sql/SqlClient"
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
