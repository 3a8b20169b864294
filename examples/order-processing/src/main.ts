/**
 * The program's entry: `node src/main.ts import orders.ndjson`.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, Logger } from "effect"
import { Command } from "effect/cli"
import { exitWith, report } from "./cli/Exit.ts"
import { exitCodes } from "./cli/Failure.ts"
import { OrdersCommand } from "./cli/OrdersCommand.ts"
import * as UsageErrors from "./cli/UsageErrors.ts"

process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  // Whoever reads our output may have read enough: `orders list | head`.
  if (error.code === "EPIPE") process.exit(exitCodes.done)
  process.stderr.write(`orders: standard output cannot be written: ${error.message}\n`)
  process.exit(exitCodes.broken)
})

Command.run(OrdersCommand, { version: "0.1.0" }).pipe(
  Effect.tapCause(report),
  Effect.provide([NodeServices.layer, UsageErrors.layer]),
  Effect.provideService(Logger.LogToStderr, true),
  NodeRuntime.runMain({ disableErrorReporting: true, teardown: exitWith })
)
