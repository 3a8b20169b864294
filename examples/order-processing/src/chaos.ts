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
import * as Fates from "chaos/Fates"
import * as Findings from "chaos/Findings"
import * as Flags from "chaos/Flags"
import * as Program from "chaos/Program"
import { Clock, Console, Effect, Layer, Logger, Redacted } from "effect"
import { Command, Flag } from "effect/cli"
import { shopper } from "./chaos/Shoppers.ts"
import { exitWith, report } from "./cli/Exit.ts"
import { DatabaseUnavailable, services } from "./Database.ts"
import { audit } from "./readModel/Audit.ts"
import { readModels } from "./readModel/ReadModels.ts"

/** How long a worker is believed to be alive without a sign of life, in milliseconds. */
const lease = 1_000

/** Suspended beyond its lease a worker is taken for dead; when it goes on, it does not know yet. */
const fates = [
  { name: "killed", away: [0, 2 * lease] },
  { name: "stopped", away: [0, 2 * lease] },
  { name: "suspended", away: [lease, 3 * lease] }
] as const

const shoppers = 8

/** Shops for so long. Says how many commands that took. */
const shopping = (seconds: number, seed: number) =>
  Effect.gen(function*() {
    let commands = 0
    const all = Effect.forEach(
      Array.from({ length: shoppers }, (_, nr) => nr),
      (nr) => shopper(nr, seed, (sent) => commands += sent),
      { concurrency: "unbounded", discard: true }
    )
    yield* Effect.raceFirst(all, Effect.sleep(seconds * 1_000))
    return commands
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
        const source: Program.Source = {
          file: new URL("worker.ts", import.meta.url),
          env: { DATABASE_URL: Redacted.value(url), LEASE_MILLIS: String(lease) }
        }
        const workers = yield* Effect.all([Program.start(source), Program.start(source)], { concurrency: 2 })
        const [commands, { killed, stopped, suspended }] = yield* Fates.during(
          { workers, fates, providers: [], seed },
          (underWay) => Effect.andThen(underWay, shopping(seconds, seed))
        )
        yield* Console.log(
          `${commands} commands; workers were killed ${killed} times, stopped ${stopped} times and ` +
            `suspended ${suspended} times. Waiting for the read models …`
        )
        const began = yield* Clock.currentTimeMillis
        const { head } = yield* Effect.flatMap(EventStore, (events) => events.readAll({ after: 0n, limit: 1 }))
        const { waitFor } = yield* Consistency.Consistency
        for (const readModel of readModels) yield* waitFor(readModel, { position: head, timeout: "60 seconds" })
        const waited = ((yield* Clock.currentTimeMillis) - began) / 1_000
        const { differences, events, rows } = yield* audit
        yield* Findings.none(seed, differences)
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
    seed: Flags.seed
  },
  ({ seconds, seed }) => run(seconds, seed)
).pipe(Command.withDescription("Kill, stop and suspend the workers while orders pour in, then audit the read models"))

Command.run(ChaosCommand, { version: "0.1.0" }).pipe(
  Effect.tapCause(report),
  Effect.provide(NodeServices.layer),
  Effect.provideService(Logger.LogToStderr, true),
  NodeRuntime.runMain({ disableErrorReporting: true, teardown: exitWith })
)
