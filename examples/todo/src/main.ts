/**
 * The program's entry: `node src/main.ts add "Water the plants"`.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Console, Effect, Logger } from "effect"
import { Command } from "effect/cli"
import { TodoCommand } from "./cli/TodoCommand.ts"
import { explain, isTodoRefusal } from "./TodoList.ts"

Command.run(TodoCommand, { version: "0.1.0" }).pipe(
  // A refusal is the list's answer, so it is told like one. Everything else is left to the runtime, which shows the cause.
  Effect.catchIf(isTodoRefusal, (refusal) =>
    Effect.andThen(
      Console.error(`todo: ${explain(refusal)}.`),
      Effect.sync(() => {
        process.exitCode = 1
      })
    )),
  Effect.provide(NodeServices.layer),
  Effect.provideService(Logger.LogToStderr, true),
  NodeRuntime.runMain
)
