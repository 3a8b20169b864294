/**
 * Transfers end to end on a real PostgreSQL: two banks with connections of their own work on one database, one of them goes
 * away half-way, and money is conserved behind every event of the log.
 */
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, type Redacted } from "effect"
import * as Books from "../src/Books.ts"
import { Account } from "../src/domain/Account.ts"
import { isFinished, Transfer } from "../src/domain/Transfer.ts"
import { Accounts, layerOn, run, Transfers } from "../src/Transfers.ts"

/** Set higher for a longer run. */
const count = Number(process.env["BANKING_TRANSFERS"] ?? 100)

const holders = ["alice", "bob", "carol", "dave"]
/** Nobody ever opens this account, so credits to it are refused. */
const names = [...holders, "nobody"]
const openingBalance = 500

const order = (index: number) => ({
  transferId: `t${index}`,
  from: names[index % 4]!,
  to: names[(index * 7 + 1 + (index % 3)) % 5]!,
  amount: 1 + (index * 37) % 120
})

const orders = Array.from({ length: count }, (_, index) => order(index)).filter(({ from, to }) => from !== to)

const elsewhere = (url: Redacted.Redacted) => Effect.provide(run(), layerOn(url))

const settled = (transferIds: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const transfers = yield* Transfers
    return yield* Effect.forEach(transferIds, (transferId) =>
      Effect.repeat(
        Effect.delay(transfers.state(transferId), "5 millis"),
        { until: ({ state }) => isFinished(state) }
      ), { concurrency: 8 })
  })

describe("transfers on PostgreSQL", () => {
  it.live(
    "finish, and conserve money behind every event, though one of two banks goes away",
    () =>
      Effect.gen(function*() {
        const url = yield* TestDatabase.make
        yield* Effect.gen(function*() {
          const accounts = yield* Accounts
          const transfers = yield* Transfers
          for (const accountId of holders) {
            yield* accounts.dispatch(accountId, Account.OpenAccount({ accountId, holder: accountId, openingBalance }))
          }
          const first = yield* Effect.forkChild(elsewhere(url))
          const second = yield* Effect.forkChild(elsewhere(url))
          const initiate = (some: typeof orders) =>
            Effect.forEach(some, (order) => transfers.dispatch(order.transferId, Transfer.InitiateTransfer(order)), {
              concurrency: 16
            })
          const half = orders.length / 2
          yield* initiate(orders.slice(0, half))
          yield* Fiber.interrupt(first)
          yield* initiate(orders.slice(half))
          const states = yield* settled(orders.map(({ transferId }) => transferId))
          const ends = new Set(states.map(({ state }) => state.status))
          assert.deepStrictEqual([...ends].sort(), ["Compensated", "Completed", "Failed"])
          const { finding, ledger } = yield* Books.audit
          assert.isUndefined(finding)
          assert.deepInclude(ledger, {
            inFlight: 0,
            onAccounts: holders.length * openingBalance,
            paidIn: holders.length * openingBalance,
            paidOut: 0
          })
          yield* Fiber.interrupt(second)
        }).pipe(Effect.provide(layerOn(url)))
      }),
    60_000
  )
})
