/**
 * The database as all stores of this package open it.
 */
import { PgClient } from "@effect/sql-pg/PgClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { SqlClient } from "effect/sql/SqlClient"
import { migrate, quoted } from "./schema.ts"

const schemaShape = /^[a-z_][a-z0-9_]{0,50}$/

/** Brings the schema up to date. Its name is given as it is, and as SQL takes it. */
export const open = (schema = "composable") =>
  Effect.gen(function*() {
    if (!schemaShape.test(schema)) {
      return yield* Effect.die(new TypeError(`"${schema}" cannot name the log's schema: it must match ${schemaShape}`))
    }
    const client = yield* PgClient
    yield* Effect.provideService(migrate(schema), SqlClient, client)
    return { client, schema, name: quoted(schema) }
  })

/** The largest message that the client takes from the server: a larger row ends the connection. */
export const maxMessageSize = (client: PgClient): number => client.config.maxMessageSize ?? 16 * 1024 * 1024

/** Keeps an effect out of the transaction that the caller's fiber may be in. */
export const outsideTransaction = (client: PgClient) => <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.updateContext(
    effect,
    (context: Context.Context<R>): Context.Context<R> =>
      Context.omit(client.transactionService)(context) as typeof context
  )
