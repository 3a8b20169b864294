/**
 * The frame of a worker's program: it says that it is at work, and works until it is ended.
 */
import * as Lease from "@composable-ts/projections/Lease"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Config, Console, Effect, Logger, type Redacted } from "effect"

/** What a worker is told by its environment. */
export interface Environment {
  /** `DATABASE_URL`. */
  readonly database: Redacted.Redacted
  /** `LEASE_MILLIS`: how long a worker is believed to be alive without a sign of life. Default 10 seconds. */
  readonly lease: number
}

const environment = Config.all({
  database: Config.Redacted("DATABASE_URL"),
  lease: Config.Int("LEASE_MILLIS").pipe(Config.withDefault(10_000))
})

/** Runs a worker as the main program. */
export const main = <E>(work: (environment: Environment) => Effect.Effect<never, E>): void =>
  Effect.gen(function*() {
    const told = yield* environment
    yield* Console.log(`worker ${process.pid} at work`)
    return yield* Effect.provideService(work(told), Lease.Time, told.lease)
  }).pipe(Effect.provideService(Logger.LogToStderr, true), NodeRuntime.runMain)
