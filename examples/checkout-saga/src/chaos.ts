/**
 * Chaos: checkouts pour in while two workers are killed every few seconds and started again, and the payment provider
 * fails, stalls and stands still. In the end all are finished, and money and goods add up exactly.
 *
 *   node src/chaos.ts [--count 2000] [--seed N]
 */
import * as Saga from "@composable-ts/projections/Saga"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Fates from "chaos/Fates"
import * as Findings from "chaos/Findings"
import * as Flags from "chaos/Flags"
import * as Program from "chaos/Program"
import { settled } from "chaos/Settling"
import { Clock, Console, Effect, Logger, Redacted, Schema } from "effect"
import { Command, Flag } from "effect/cli"
import { HttpClient, HttpClientResponse } from "effect/http"
import * as Ledger from "providers/Ledger"
import * as PaymentProvider from "providers/PaymentProvider"
import * as Audit from "./chaos/Audit.ts"
import { carts, limit, stock } from "./chaos/Carts.ts"
import { Checkouts, checkouts, layerOn, Warehouses } from "./Checkouts.ts"
import { type Cart, Checkout } from "./domain/Checkout.ts"
import { Inventory } from "./domain/Inventory.ts"

/** How long a worker is believed to be alive, and how long it waits for the provider, in milliseconds. */
const worker = { lease: 2_000, patience: 400 }
/** A provider that is late is so by this, in milliseconds. */
const lateness = 800

const Addresses = Schema.fromJsonString(Schema.Struct({ payment: Schema.String }))

const start = (database: Redacted.Redacted, seed: number, failures: number, keys: Ledger.Keys) =>
  Effect.gen(function*() {
    const provider = yield* Program.start({
      file: new URL(import.meta.resolve("providers/main")),
      args: ["--failures", failures, "--lateness", lateness, "--limit", limit, "--seed", seed, "--keys", keys].map(
        String
      )
    })
    const { payment: url } = yield* Schema.decodeUnknownEffect(Addresses)(provider.line)
    const source: Program.Source = {
      file: new URL("worker.ts", import.meta.url),
      env: {
        DATABASE_URL: Redacted.value(database),
        PROVIDER_URL: url,
        PROVIDER_MILLIS: String(worker.patience),
        LEASE_MILLIS: String(worker.lease)
      }
    }
    const workers = yield* Effect.all([Program.start(source), Program.start(source)], { concurrency: 2 })
    return { provider, url, workers }
  })

const begin = (some: ReadonlyArray<Cart>) =>
  Effect.flatMap(
    Checkouts,
    (checkouts) =>
      Effect.forEach(some, (cart) => checkouts.dispatch(cart.checkoutId, Checkout.InitiateCheckout(cart)), {
        concurrency: 8,
        discard: true
      })
  )

const booksOf = (url: string) =>
  Effect.all({
    ledger: Effect.flatMap(HttpClient.get(`${url}/ledger`), HttpClientResponse.schemaBodyJson(Ledger.Book)),
    charges: Effect.flatMap(
      HttpClient.get(`${url}/charges`),
      HttpClientResponse.schemaBodyJson(PaymentProvider.Charges)
    )
  })

const endsOf = ({ checkouts }: Audit.Books) => {
  const ends = new Map<string, number>()
  for (const state of checkouts.values()) {
    const end = "failure" in state ? state.failure._tag : state.status
    ends.set(end, (ends.get(end) ?? 0) + 1)
  }
  return [...ends].sort().map(([end, count]) => `${count} ${end}`).join(", ")
}

const sum = (numbers: ReadonlyArray<number>) => numbers.reduce((total, number) => total + number, 0)

interface Given {
  readonly count: number
  readonly seed: number
  readonly failures: number
  readonly keys: Ledger.Keys
}

const run = ({ count, failures, keys, seed }: Given) =>
  Effect.gen(function*() {
    yield* Console.log(`${count} checkouts with --seed ${seed}: two workers, and a provider that fails.`)
    const database = yield* TestDatabase.make
    const all = yield* carts(count, seed)
    yield* Effect.gen(function*() {
      const warehouses = yield* Warehouses
      for (const item of stock(all)) yield* warehouses.dispatch(item.warehouseId, Inventory.AddInventory(item))
      // Makes the tables of the saga, for whoever looks at its status before a worker has begun.
      yield* Saga.catchUp(checkouts)
      const { provider, url, workers } = yield* start(database, seed, failures, keys)
      const began = yield* Clock.currentTimeMillis
      const victims = { workers, fates: [Fates.killed], providers: [provider], seed } as const
      const [unsettled, { killed, stalls }] = yield* Fates.during(victims, (underWay) =>
        Effect.gen(function*() {
          yield* begin(all.slice(0, count / 10))
          yield* underWay
          yield* begin(all.slice(count / 10))
          return yield* settled(checkouts, count)
        }))
      const seconds = ((yield* Clock.currentTimeMillis) - began) / 1_000
      const books = yield* Audit.read
      const providers = yield* booksOf(url)
      const { entries } = providers.ledger
      const calls = sum(entries.map(({ calls }) => calls))
      yield* Console.log(
        `${seconds.toFixed(1)} s; ${killed} kills; the provider stood still ${stalls} times.\n` +
          `${endsOf(books)}; ${books.events} events.\n` +
          `${calls} calls under ${entries.length} keys, ${calls - entries.length} of them again; ` +
          `${books.unanswered} attempts were without an answer.`
      )
      yield* Findings.none(seed, [...unsettled, ...Audit.violations(books, providers)])
      const kept = sum(providers.charges.map(({ refunded, taken }) => taken - refunded))
      yield* Console.log(`Exact: ${books.checkouts.size} checkouts are finished, and paid ${kept}.`)
    }).pipe(Effect.provide(layerOn(database)))
  }).pipe(Effect.provide(NodeHttpClient.layerNodeHttp), Effect.scoped)

const ChaosCommand = Command.make(
  "chaos",
  {
    count: Flags.count("checkouts", 2_000),
    seed: Flags.seed,
    failures: Flag.Finite("failures").pipe(
      Flag.withDescription("The probability that a request to the provider fails in one of the ways there are"),
      Flag.withDefault(0.1)
    ),
    keys: Flag.Literals("keys", ["honoured", "ignored"]).pipe(
      Flag.withDescription("A provider that ignores idempotency keys charges twice, and the audit must find that"),
      Flag.withDefault("honoured")
    )
  },
  run
).pipe(Command.withDescription("Kill the workers while checkouts pour in, then audit money and goods"))

Command.run(ChaosCommand, { version: "0.1.0" }).pipe(
  Effect.provide(NodeServices.layer),
  Effect.provideService(Logger.LogToStderr, true),
  NodeRuntime.runMain
)
