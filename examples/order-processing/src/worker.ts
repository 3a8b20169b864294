/**
 * A worker: keeps the read models up to date until it is told to stop. Any number of them share the work.
 *
 *   node src/worker.ts            on the orders in the folder .orders, or on those of DATABASE_URL
 */
import * as Lease from "@composable-ts/projections/Lease"
import * as Projection from "@composable-ts/projections/Projection"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Config, Console, Effect, Logger } from "effect"
import { exitWith, report } from "./cli/Exit.ts"
import { withOrders } from "./Database.ts"
import { readModels } from "./readModel/ReadModels.ts"
import { fromUser } from "./WorkingDirectory.ts"

const work = Effect.gen(function*() {
  const lease = yield* Config.Int("LEASE_MILLIS").pipe(Config.withDefault(10_000))
  yield* Console.log(`worker ${process.pid} at work`)
  yield* Effect.provideService(Projection.run(...readModels), Lease.Time, lease)
})

withOrders(fromUser(".orders"), work).pipe(
  Effect.tapCause(report),
  Effect.provide(NodeServices.layer),
  Effect.provideService(Logger.LogToStderr, true),
  NodeRuntime.runMain({ disableErrorReporting: true, teardown: exitWith })
)
