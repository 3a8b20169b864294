/**
 * T41: a server that stays away for a while. A subscription and the listening connection wait for it, in the same
 * process, and the log is not flooded.
 */
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as EmbeddedPostgres from "@composable-ts/testing/EmbeddedPostgres"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger, Schedule, Stream } from "effect"
import { several, stream } from "../../../packages/postgres/test/Facts.ts"
import { openStore } from "../../../packages/postgres/test/TestLog.ts"

const seconds = Number(process.env.FAULT_OUTAGE_SECONDS ?? 3)

describe("an outage", () => {
  it.live(
    `T41: of ${seconds} s is waited for by a subscription, which goes on where it was`,
    () =>
      Effect.gen(function*() {
        const said: Array<string> = []
        const logger = Logger.make(({ message }) => void said.push(String(message)))
        const server = yield* EmbeddedPostgres.start()
        const delivered: Array<bigint> = []
        const until = (count: number) =>
          Effect.repeat(Effect.sync(() => delivered.length), {
            until: (length) => length >= count,
            schedule: Schedule.spaced("5 millis")
          })
        yield* Effect.gen(function*() {
          const store = yield* openStore({ url: server.url })
          yield* Effect.forkScoped(
            Stream.runForEach(
              store.subscribe({ after: 0n, name: "mails" }),
              ({ globalPosition }) => Effect.sync(() => delivered.push(globalPosition))
            )
          )
          const append = (count: number) => store.append(stream("a"), ExpectedVersion.any, several(count))
          yield* append(2)
          yield* Effect.timeout(until(2), "5 seconds")
          yield* server.kill
          const outage = Effect.andThen(Effect.sleep(`${seconds} seconds`), server.restart)
          // So that the subscription must read while the server is away, not only wait.
          const impatient = Stream.runDrain(Stream.take(store.subscribe({ after: 0n, name: "impatient" }), 3))
          const [, , result] = yield* Effect.all([
            outage,
            impatient,
            Effect.retry(append(1), { while: (error) => error._tag === "EventStoreError" && error.retryable })
          ], { concurrency: "unbounded" })
          assert.strictEqual(result.globalPosition, 3n)
          yield* Effect.timeout(until(3), "5 seconds")
          yield* Effect.repeat(store.health, {
            until: ({ status }) => status === "healthy",
            schedule: Schedule.spaced("50 millis")
          })
            .pipe(Effect.timeout("5 seconds"))
        }).pipe(Effect.provide(Logger.layer([logger])))
        assert.deepStrictEqual(delivered, [1n, 2n, 3n])
        // Once that it polls, once that it listens again; each subscription once in ten seconds, and that it goes on.
        assert.isAtMost(said.length, 6 + 2 * Math.floor(seconds / 10), said.join("\n"))
        assert.isAtLeast(said.length, 2)
      }),
    60_000 + 1_000 * seconds
  )
})
