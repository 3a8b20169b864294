/**
 * A process that rebuilds: `node Rebuilder.ts '<Rebuilding as JSON>'`. It ends cleanly at SIGTERM.
 */
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as Lease from "@composable-ts/projections/Lease"
import * as Rebuild from "@composable-ts/projections/Rebuild"
import * as PgClient from "@effect/sql-pg/PgClient"
import { Cause, Effect, Exit, Fiber, Layer, Redacted } from "effect"
import { standings } from "../../../packages/projections/test/Standings.ts"

/** What it shall do. */
export interface Rebuilding {
  readonly url: string
  readonly version: number
  readonly partitions: number
  /** How long its leases last, in milliseconds. */
  readonly lease: number
  /** How long it takes over each batch at the least, in milliseconds. */
  readonly pace: number
}

if (import.meta.main) {
  const { lease, pace, partitions, url, version } = JSON.parse(process.argv[2]!) as Rebuilding
  const clients = PgClient.layer({ url: Redacted.make(url), maxConnections: 4 + partitions })
  const program = Rebuild.run(standings(version, { partitions, before: () => Effect.sleep(pace) })).pipe(
    Effect.provideService(Lease.Time, lease),
    Effect.provide(PostgresEventStore.layer().pipe(Layer.provideMerge(clients)))
  )
  const fiber = Effect.runFork(program)
  process.on("SIGTERM", () => Effect.runFork(Fiber.interrupt(fiber)))
  const exit = await Effect.runPromise(Fiber.await(fiber))
  if (Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause)) {
    process.stderr.write(Cause.pretty(exit.cause))
    process.exitCode = 1
  }
}
