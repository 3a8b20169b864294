/**
 * The tour: a small bank on a temporary PostgreSQL. It leaves nothing behind. `pnpm banking`
 */
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import { Console, Effect, HashMap, Layer } from "effect"
import * as Books from "./Books.ts"
import { Account } from "./domain/Account.ts"
import { explain } from "./domain/AccountRefusal.ts"
import { format } from "./domain/Money.ts"
import { isFinished, Transfer, type TransferState } from "./domain/Transfer.ts"
import { Accounts, layerOn, run, Transfers } from "./Transfers.ts"

const open = (accountId: string, holder: string, openingBalance: number) =>
  Effect.flatMap(
    Accounts,
    (accounts) => accounts.dispatch(accountId, Account.OpenAccount({ accountId, holder, openingBalance }))
  )

const transferred = (transferId: string, from: string, to: string, amount: number) =>
  Effect.gen(function*() {
    const transfers = yield* Transfers
    yield* transfers.dispatch(transferId, Transfer.InitiateTransfer({ transferId, from, to, amount }))
    const { state } = yield* Effect.repeat(
      Effect.delay(transfers.state(transferId), "10 millis"),
      { until: ({ state }) => isFinished(state) }
    )
    yield* Console.log(`${format(amount)} from ${from} to ${to}: ${outcomeOf(state)}`)
  })

const outcomeOf = (state: TransferState): string =>
  "reason" in state ? `${state.status}, because ${explain(state.reason)}` : state.status

const tour = Effect.gen(function*() {
  const accounts = yield* Accounts
  yield* open("alice", "Alice", 100_000)
  yield* open("bob", "Bob", 50_000)
  yield* accounts.dispatch("alice", Account.Deposit({ accountId: "alice", amount: 20_000 }))
  yield* accounts.dispatch("bob", Account.Withdraw({ accountId: "bob", amount: 5_000 }))
  yield* transferred("t1", "alice", "bob", 30_000)
  yield* transferred("t2", "bob", "alice", 1_000_000)
  yield* transferred("t3", "bob", "carol", 10_000)
  const { finding, ledger } = yield* Books.audit
  for (const [id, balance] of HashMap.entries(ledger.balances)) yield* Console.log(`${id} has ${format(balance)}`)
  yield* Console.log(
    finding === undefined
      ? "Money was conserved behind every event."
      : `Money was not conserved at ${finding.position}: ${finding.violations.join("; ")}`
  )
})

const inTemporaryDatabase = Layer.unwrap(Effect.map(TestDatabase.make, layerOn))

await Effect.runPromise(Effect.scoped(Effect.provide(Effect.raceFirst(tour, run()), inTemporaryDatabase)))
