/**
 * The bank at work: accounts and transfers whose effects are stored with their events, the saga that tells transfers what
 * happened to accounts, and the workers that carry out what they want done. Any number of processes may run it on one
 * database.
 */
import * as AggregateStore from "@composable-ts/core/AggregateStore"
import * as DurableAggregate from "@composable-ts/core/DurableAggregate"
import * as EffectWorker from "@composable-ts/core/EffectWorker"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as PostgresOutbox from "@composable-ts/postgres/PostgresOutbox"
import * as Saga from "@composable-ts/projections/Saga"
import * as PgClient from "@effect/sql-pg/PgClient"
import { Context, Effect, Layer, type Redacted } from "effect"
import { account, type AccountCommand, type AccountEvent, type AccountState } from "./domain/Account.ts"
import type { AccountRefusal } from "./domain/AccountRefusal.ts"
import {
  Transfer,
  transfer,
  type TransferCommand,
  type TransferEvent,
  type TransferRefusal,
  type TransferState
} from "./domain/Transfer.ts"

/** Accounts want nothing done. */
export const durableAccount = DurableAggregate.make(account)

/** Transfers dispatch to accounts, which answer by events. A refund that is refused is a dead letter: somebody has to look. */
export const durableTransfer = DurableAggregate.make(transfer, { targets: [DurableAggregate.target(account)] })

const correlate = ({ transferId }: { readonly transferId: string }) => transferId

/** What a transfer hears of accounts. */
export const transfers = Saga.define(durableTransfer, {
  inputs: [
    Saga.on(account, "Debited", { correlate, toCommand: ({ transferId }) => Transfer.RecordDebit({ transferId }) }),
    Saga.on(account, "DebitRefused", {
      correlate,
      toCommand: ({ reason, transferId }) => Transfer.RecordDebitRefusal({ transferId, reason })
    }),
    Saga.on(account, "Credited", { correlate, toCommand: ({ transferId }) => Transfer.RecordCredit({ transferId }) }),
    Saga.on(account, "CreditRefused", {
      correlate,
      toCommand: ({ reason, transferId }) => Transfer.RecordCreditRefusal({ transferId, reason })
    }),
    Saga.on(account, "Refunded", { correlate, toCommand: ({ transferId }) => Transfer.RecordRefund({ transferId }) })
  ],
  ends: ["TransferCompleted", "TransferFailed", "TransferCompensated"]
})

/** All accounts. */
export class Accounts extends Context.Service<
  Accounts,
  AggregateStore.AggregateStore<AccountState, AccountCommand, AccountEvent, AccountRefusal>
>()("banking/Accounts") {
  static readonly layer = Layer.effect(Accounts, AggregateStore.makeDurable(durableAccount))
}

/** All transfers. */
export class Transfers extends Context.Service<
  Transfers,
  AggregateStore.AggregateStore<TransferState, TransferCommand, TransferEvent, TransferRefusal>
>()("banking/Transfers") {
  static readonly layer = Layer.effect(Transfers, AggregateStore.makeDurable(durableTransfer))
}

const dispatchers = Layer.mergeAll(
  AggregateStore.layerDurable(durableAccount),
  AggregateStore.layerDurable(durableTransfer)
)

/** The bank on a PostgreSQL. */
export const layerOn = (url: Redacted.Redacted) =>
  Layer.mergeAll(Accounts.layer, Transfers.layer).pipe(
    Layer.provideMerge(Layer.merge(PostgresEventStore.layer(), PostgresOutbox.layer())),
    Layer.provideMerge(PgClient.layer({ url, applicationName: "banking" }))
  )

/** Runs the saga and the workers, until interrupted or until one of them fails. */
export const run = (options?: EffectWorker.Options) =>
  Effect.raceFirst(
    Saga.run(transfers),
    Effect.provide(EffectWorker.run([durableTransfer, durableAccount], options), dispatchers)
  )
