// A program that uses an embedded PostgreSQL until it is told to end: by Ctrl-C, or by the end of its standard input.
// It prints one line: the server's URL and data folder, as JSON.
import { Effect, Fiber, Redacted } from "effect"
import * as EmbeddedPostgres from "../src/EmbeddedPostgres.ts"

const dataDir = process.argv[2]

const hold = Effect.gen(function*() {
  const server = yield* EmbeddedPostgres.start(dataDir === undefined ? {} : { dataDir })
  process.stdout.write(`${JSON.stringify({ url: Redacted.value(server.url), dataDir: server.dataDir })}\n`)
  yield* Effect.callback<void>((resume) => {
    process.stdin.resume().once("end", () => resume(Effect.void))
  })
})

const fiber = Effect.runFork(Effect.scoped(hold))
process.once("SIGINT", () => void Effect.runPromise(Fiber.interrupt(fiber)))
const exit = await Effect.runPromise(Fiber.await(fiber))
if (exit._tag === "Failure" && !process.stdin.readableEnded) process.stderr.write(`${exit.cause}\n`)
process.exit(0)
