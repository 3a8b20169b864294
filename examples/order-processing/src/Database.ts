/**
 * Where the orders are kept: in the database of `DATABASE_URL`, or else in a data folder, by an embedded PostgreSQL that
 * runs for as long as somebody uses it.
 */
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as EmbeddedPostgres from "@composable-ts/testing/EmbeddedPostgres"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import * as PgClient from "@effect/sql-pg/PgClient"
import { Config, Effect, Layer, Option, Redacted, Schema, type Scope } from "effect"
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
export const services = (url: Redacted.Redacted) =>
  Orders.layer.pipe(
    Layer.provideMerge(PostgresEventStore.layer()),
    Layer.provideMerge(PgClient.layer({ url, applicationName: "order-processing" }))
  )

type Services = Layer.Success<ReturnType<typeof services>>

/** What a program still needs when it has the services, and a scope of its own. */
export type Remaining<R> = Exclude<Exclude<R, Services>, Scope.Scope>

/** For the length of the scope. `stopped` fails when an embedded server ends before that. */
const server = (dataFolder: string) =>
  Effect.gen(function*() {
    const configured = yield* Config.option(Config.Redacted("DATABASE_URL"))
    return Option.isSome(configured) && Redacted.value(configured.value) !== ""
      ? { url: configured.value, stopped: Effect.never }
      : yield* EmbeddedPostgres.start({ dataDir: dataFolder })
  })

const provideServices = <A, E, R>(program: Effect.Effect<A, E, R>, url: Redacted.Redacted) =>
  Effect.flatMap(
    Effect.mapError(Layer.build(services(url)), DatabaseUnavailable.because),
    (context) => Effect.provide(program, context)
  )

/** Runs a program on the orders of a data folder, or on those of `DATABASE_URL`, where it is set. */
export const withOrders = <A, E, R>(
  dataFolder: string,
  program: Effect.Effect<A, E, R>
): Effect.Effect<A, E | DatabaseUnavailable, Remaining<R>> =>
  Effect.scoped(Effect.gen(function*() {
    const { stopped, url } = yield* Effect.mapError(server(dataFolder), DatabaseUnavailable.because)
    return yield* Effect.raceFirst(
      provideServices(program, url),
      Effect.mapError(stopped, DatabaseUnavailable.because)
    )
  }))

/** Runs a program on a database that is empty at first and gone at the end, on either server. */
export const withTemporaryOrders = <A, E, R>(
  program: Effect.Effect<A, E, R>
): Effect.Effect<A, E | DatabaseUnavailable, Remaining<R>> =>
  Effect.scoped(Effect.flatMap(
    Effect.mapError(TestDatabase.make, DatabaseUnavailable.because),
    (url) => provideServices(program, url)
  ))
