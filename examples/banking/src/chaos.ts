/**
 * Chaos: transfers pour in while two workers are killed every few seconds and started again. In the end all are finished,
 * and money was conserved behind every single event.
 *
 *   node src/chaos.ts [--count 10000] [--seed N]
 */
import * as Saga from "@composable-ts/projections/Saga"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Fates from "chaos/Fates"
import * as Findings from "chaos/Findings"
import * as Flags from "chaos/Flags"
import * as Program from "chaos/Program"
import { settled } from "chaos/Settling"
import { Clock, Console, Effect, Logger, Redacted } from "effect"
import { Command } from "effect/cli"
import * as Books from "./Books.ts"
import * as Audit from "./chaos/Audit.ts"
import { accounts, openingBalance, orders } from "./chaos/Orders.ts"
import { Account } from "./domain/Account.ts"
import { Transfer, type TransferOrder, type TransferState } from "./domain/Transfer.ts"
import { Accounts, layerOn, Transfers, transfers } from "./Transfers.ts"

/** How long a worker is believed to be alive without a sign of life, in milliseconds. */
const lease = 2_000

const begin = (some: ReadonlyArray<TransferOrder>) =>
  Effect.flatMap(
    Transfers,
    (transfers) =>
      Effect.forEach(some, (order) => transfers.dispatch(order.transferId, Transfer.InitiateTransfer(order)), {
        concurrency: 8,
        discard: true
      })
  )

const open = Effect.flatMap(Accounts, ({ dispatch }) =>
  Effect.forEach(
    accounts,
    (accountId) => dispatch(accountId, Account.OpenAccount({ accountId, holder: accountId, openingBalance })),
    { discard: true }
  ))

const endsOf = (states: ReadonlyMap<string, TransferState>) => {
  const ends = new Map<string, number>()
  for (const { status } of states.values()) ends.set(status, (ends.get(status) ?? 0) + 1)
  return [...ends].sort().map(([end, count]) => `${count} ${end}`).join(", ")
}

const run = (count: number, seed: number) =>
  Effect.gen(function*() {
    yield* Console.log(`${count} transfers between ${accounts.length} accounts with --seed ${seed}: two workers.`)
    const database = yield* TestDatabase.make
    const all = yield* orders(count, seed)
    yield* Effect.gen(function*() {
      yield* open
      // Makes the tables of the saga, for whoever looks at its status before a worker has begun.
      yield* Saga.catchUp(transfers)
      const source: Program.Source = {
        file: new URL("worker.ts", import.meta.url),
        env: { DATABASE_URL: Redacted.value(database), LEASE_MILLIS: String(lease) }
      }
      const workers = yield* Effect.all([Program.start(source), Program.start(source)], { concurrency: 2 })
      const began = yield* Clock.currentTimeMillis
      const victims = { workers, fates: [Fates.killed], providers: [], seed } as const
      const [unsettled, { killed }] = yield* Fates.during(victims, (underWay) =>
        Effect.gen(function*() {
          yield* begin(all.slice(0, count / 10))
          yield* underWay
          yield* begin(all.slice(count / 10))
          return yield* settled(transfers, count)
        }))
      const seconds = ((yield* Clock.currentTimeMillis) - began) / 1_000
      const { events, states } = yield* Audit.transfers
      const books = yield* Books.audit
      yield* Console.log(`${seconds.toFixed(1)} s; ${killed} kills.\n${endsOf(states)}; ${events} events.`)
      const paidIn = accounts.length * openingBalance
      yield* Findings.none(seed, [...unsettled, ...Audit.violations(states, books, paidIn)])
      yield* Console.log(`Exact: ${states.size} transfers are finished, and ${paidIn} are on the accounts.`)
    }).pipe(Effect.provide(layerOn(database)))
  }).pipe(Effect.scoped)

const ChaosCommand = Command.make(
  "chaos",
  { count: Flags.count("transfers", 10_000), seed: Flags.seed },
  ({ count, seed }) => run(count, seed)
).pipe(Command.withDescription("Kill the workers while transfers pour in, then audit the books"))

Command.run(ChaosCommand, { version: "0.1.0" }).pipe(
  Effect.provide(NodeServices.layer),
  Effect.provideService(Logger.LogToStderr, true),
  NodeRuntime.runMain
)
