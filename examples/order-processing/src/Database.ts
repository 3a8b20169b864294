/**
 * Where the orders are kept: in the database of `DATABASE_URL`, or else in a data folder, by an embedded PostgreSQL that
 * runs for as long as somebody uses it.
 */
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as EmbeddedPostgres from "@composable-ts/testing/EmbeddedPostgres"
import * as PgClient from "@effect/sql-pg/PgClient"
import { Config, Effect, Layer, Option, Redacted, Schema } from "effect"
import { Orders } from "./Orders.ts"

/** The database cannot be used, or has ended while in use. */
export class DatabaseUnavailable extends Schema.TaggedError<DatabaseUnavailable>()("DatabaseUnavailable", {
  message: Schema.String
}) {
  static because(error: Error): DatabaseUnavailable {
    return new DatabaseUnavailable({ message: `The orders' database cannot be used. ${reasons(error).join(": ")}` })
  }
}

/** What the error and the errors that caused it say, without repetition. */
const reasons = (error: unknown): ReadonlyArray<string> =>
  error instanceof Error ? [...new Set([error.message, ...reasons(error.cause)])].filter((text) => text !== "") : []

/** The orders and what they stand on: the event store, and the SQL client for read models. */
const services = (url: Redacted.Redacted) =>
  Orders.layer.pipe(
    Layer.provideMerge(PostgresEventStore.layer()),
    Layer.provideMerge(PgClient.layer({ url, applicationName: "order-processing" }))
  )

/** What a program on the orders can use. */
export type Services = Layer.Success<ReturnType<typeof services>>

/** Runs for the length of the scope. `stopped` fails when an embedded server ends before that. */
const server = (dataFolder: string | undefined) =>
  Effect.gen(function*() {
    const configured = yield* Config.option(Config.Redacted("DATABASE_URL"))
    return Option.isSome(configured) && Redacted.value(configured.value) !== ""
      ? { url: configured.value, stopped: Effect.never }
      : yield* EmbeddedPostgres.start(dataFolder === undefined ? {} : { dataDir: dataFolder })
  })

/**
 * Runs a program on the orders of a data folder; without one, on a temporary database. `DATABASE_URL` replaces either.
 */
export const withOrders = <A, E, R>(
  dataFolder: string | undefined,
  program: Effect.Effect<A, E, R>
): Effect.Effect<A, E | DatabaseUnavailable, Exclude<R, Services>> =>
  Effect.scoped(Effect.gen(function*() {
    const { stopped, url } = yield* Effect.mapError(server(dataFolder), DatabaseUnavailable.because)
    const context = yield* Effect.mapError(Layer.build(services(url)), DatabaseUnavailable.because)
    return yield* Effect.raceFirst(
      Effect.provide(program, context),
      Effect.mapError(stopped, DatabaseUnavailable.because)
    )
  }))
