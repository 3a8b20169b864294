/**
 * Customers: who has an account, and who sends how much to whom.
 */
import { Effect, Random } from "effect"
import type { TransferOrder } from "../domain/Transfer.ts"

/** The accounts that are opened. */
export const accounts = Array.from({ length: 50 }, (_, index) => `account ${index}`)

/** What is paid in when an account is opened, in minor units. */
export const openingBalance = 20_000

/** Nobody ever opens these, so debits and credits of them are refused. */
const missing = ["nobody", "no one"]

const order = (index: number) =>
  Effect.gen(function*() {
    const from = yield* Random.nextIntBetween(0, accounts.length)
    const offset = yield* Random.nextIntBetween(1, accounts.length - 1)
    const isAstray = (yield* Random.nextIntBetween(1, 20)) === 1
    return {
      transferId: `t${index}`,
      from: accounts[from] ?? missing[0]!,
      to: isAstray ? missing[1]! : accounts[(from + offset) % accounts.length]!,
      amount: yield* Random.nextIntBetween(1, 500)
    }
  })

/** So many transfers, the same for the same seed. Some can be debited from nowhere, some credited to nowhere. */
export const orders = (count: number, seed: number): Effect.Effect<ReadonlyArray<TransferOrder>> =>
  Random.withSeed(Effect.forEach(Array.from({ length: count }, (_, index) => index), order), seed)
