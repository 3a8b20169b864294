/**
 * Chaos: orders pour in while two workers are killed, stopped, suspended beyond their lease, and started again. In the end
 * every row of the read models must be what a fold of the log gives.
 *
 *   node src/chaos.ts [--seconds 120] [--seed N]
 */
import { EventStore } from "@composable-ts/core/EventStore"
import * as Consistency from "@composable-ts/projections/Consistency"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Clock, Console, Effect, Fiber, Layer, Logger, Runtime, Schema } from "effect"
import { Command, Flag } from "effect/cli"
import { randomFrom, shopper } from "./chaos/Shoppers.ts"
import { type Fate, fates, start } from "./chaos/Worker.ts"
import { exitWith, report } from "./cli/Exit.ts"
import { DatabaseUnavailable, services } from "./Database.ts"
import { audit } from "./readModel/Audit.ts"
import { readModels } from "./readModel/ReadModels.ts"

/** The read models are not what the log says. */
class Differences extends Schema.TaggedError<Differences>()("Differences", {
  seed: Schema.Int,
  differences: Schema.Array(Schema.String)
}) {
  override readonly [Runtime.errorExitCode] = 1
  override get message(): string {
    const { differences, seed } = this
    return `with --seed ${seed}, ${differences.length} rows differ from the log: ${differences.slice(0, 10).join("; ")}`
  }
}

const shoppers = 8

/** Lets something befall one worker after the other until it is interrupted. */
const chaos =
  (workers: ReadonlyArray<{ readonly befall: (fate: Fate, random: () => number) => Effect.Effect<void> }>) =>
  (random: () => number, told: (fate: Fate) => void) =>
    Effect.gen(function*() {
      while (true) {
        yield* Effect.sleep(Math.floor(random() * 2_000))
        const fate = fates[Math.floor(random() * fates.length)]!
        const worker = workers[Math.floor(random() * workers.length)]!
        told(fate)
        // What has begun to befall is brought to its end, or a worker would stay dead.
        yield* Effect.uninterruptible(worker.befall(fate, random))
      }
    })

const run = (seconds: number, seed: number) =>
  Effect.gen(function*() {
    yield* Console.log(`${seconds} s of chaos with --seed ${seed}: two workers, ${shoppers} shoppers.`)
    const url = yield* Effect.mapError(TestDatabase.make, DatabaseUnavailable.because)
    const context = yield* Layer.build(Consistency.layer.pipe(Layer.provideMerge(services(url)))).pipe(
      Effect.mapError(DatabaseUnavailable.because)
    )
    yield* Effect.provide(
      Effect.gen(function*() {
        const random = randomFrom(seed)
        const count = { killed: 0, stopped: 0, suspended: 0 }
        let commands = 0
        const workers = yield* Effect.all([start(url), start(url)], { concurrency: 2 })
        const shopping = yield* Effect.forkScoped(Effect.forEach(
          Array.from({ length: shoppers }, (_, nr) => nr),
          (nr) => shopper(nr, seed, (sent) => commands += sent),
          { concurrency: "unbounded", discard: true }
        ))
        yield* Effect.raceFirst(
          Effect.raceFirst(Fiber.join(shopping), Effect.sleep(seconds * 1_000)),
          chaos(workers)(random, (fate) => count[fate]++)
        )
        yield* Fiber.interrupt(shopping)
        yield* Console.log(
          `${commands} commands; workers were killed ${count.killed} times, stopped ${count.stopped} times and ` +
            `suspended ${count.suspended} times. Waiting for the read models …`
        )
        const began = yield* Clock.currentTimeMillis
        const { head } = yield* Effect.flatMap(EventStore, (events) => events.readAll({ after: 0n, limit: 1 }))
        const { waitFor } = yield* Consistency.Consistency
        for (const readModel of readModels) yield* waitFor(readModel, { position: head, timeout: "60 seconds" })
        const waited = ((yield* Clock.currentTimeMillis) - began) / 1_000
        const { differences, events, rows } = yield* audit
        if (differences.length > 0) return yield* new Differences({ seed, differences })
        yield* Console.log(
          `Exact: ${rows} rows are a fold of ${events} events; caught up after ${waited.toFixed(1)} s.`
        )
      }),
      context
    )
  }).pipe(Effect.scoped)

const ChaosCommand = Command.make(
  "chaos",
  {
    seconds: Flag.Int("seconds").pipe(Flag.withDefault(120), Flag.withDescription("How long")),
    seed: Flag.Int("seed").pipe(
      Flag.withDefault(Math.floor(Math.random() * 1_000_000)),
      Flag.withDescription("The same seed brings the same orders and the same fates; their moments differ")
    )
  },
  ({ seconds, seed }) => run(seconds, seed)
).pipe(Command.withDescription("Kill, stop and suspend the workers while orders pour in, then audit the read models"))

Command.run(ChaosCommand, { version: "0.1.0" }).pipe(
  Effect.tapCause(report),
  Effect.provide(NodeServices.layer),
  Effect.provideService(Logger.LogToStderr, true),
  NodeRuntime.runMain({ disableErrorReporting: true, teardown: exitWith })
)
