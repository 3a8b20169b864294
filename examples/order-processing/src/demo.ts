/**
 * The tour: what the framework does, on a real PostgreSQL, in a few seconds. It leaves nothing behind.
 */
import * as Projection from "@composable-ts/projections/Projection"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Clock, Console, Effect, FileSystem, Logger, Stream } from "effect"
import { fileURLToPath } from "node:url"
import { exitWith, report } from "./cli/Exit.ts"
import * as HistoryCommand from "./cli/HistoryCommand.ts"
import * as ImportCommand from "./cli/ImportCommand.ts"
import * as ReportCommand from "./cli/ReportCommand.ts"
import * as ShowCommand from "./cli/ShowCommand.ts"
import { withTemporaryOrders } from "./Database.ts"
import { Order } from "./domain/Order.ts"
import { explain, isOrderRefusal } from "./domain/OrderRefusal.ts"
import { importOrders } from "./import/Import.ts"
import * as ImportSummary from "./import/ImportSummary.ts"
import { Orders } from "./Orders.ts"
import { reportOrders } from "./readModel/OrderReport.ts"
import { orderSummary } from "./readModel/OrderSummary.ts"

const heading = (text: string) => Console.log(`\n── ${text} ${"─".repeat(Math.max(0, 96 - text.length))}`)
const indented = (text: string) => Console.log(text.replaceAll(/^(?=.)/gm, "   "))

/** Imports a sample file and tells what became of it. */
const importSample = (name: string) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const start = yield* Clock.currentTimeMillis
    const bytes = fs.stream(fileURLToPath(new URL(`../data/${name}`, import.meta.url)))
    const summary = yield* Stream.runFoldEffect(
      importOrders(bytes),
      () => ImportSummary.empty,
      (summary, result) =>
        Effect.as(
          result._tag === "Refused" ? indented(`line ${result.line} refused: ${result.reason}`) : Effect.void,
          ImportSummary.add(summary, result)
        )
    )
    yield* indented(ImportCommand.toText(summary, (yield* Clock.currentTimeMillis) - start))
  })

const tour = Effect.gen(function*() {
  const orders = yield* Orders

  yield* heading("Import 25 orders: each line becomes commands, each accepted command events")
  yield* importSample("orders.ndjson")

  yield* heading("Import a file with mistakes: the bad lines are named, the good ones around them imported")
  yield* importSample("with-mistakes.ndjson")

  yield* heading("The facts: the events of order 2003, as PostgreSQL holds them")
  const history = yield* Stream.runCollect(orders.history("2003"))
  yield* indented(HistoryCommand.toText(history.map(({ recorded }) => recorded)))

  yield* heading("The state: rebuilt from those events")
  yield* indented(ShowCommand.toText("2003", yield* orders.state("2003")))

  yield* heading("Time travel: the same order after its first event")
  const atFirst = yield* orders.stateAt("2003", { version: 0 })
  yield* indented(`version ${atFirst.version}: ${atFirst.state.status}`)

  yield* heading("The rules: an order cannot be shipped twice")
  const shipment = { shipper: "Overland", shippedOn: "2026-04-30" }
  yield* Orders.dispatch(Order.ShipOrder({ orderId: "2003", ...shipment })).pipe(
    Effect.andThen(indented("accepted")),
    Effect.catchIf(isOrderRefusal, (refusal) => indented(`${refusal._tag}: ${explain(refusal)}`))
  )

  yield* heading("Retries: the same command, sent twice under one id, is one fact")
  const ship2026 = Orders.dispatch(Order.ShipOrder({ orderId: "2026", ...shipment }), { commandId: "tour:ship:2026" })
  const first = yield* ship2026
  const second = yield* ship2026
  yield* indented(`first:  version ${first.version}, duplicate: ${first.duplicate}`)
  yield* indented(`second: version ${second.version}, duplicate: ${second.duplicate}`)

  yield* heading("Retries: the whole file once more, and nothing changes")
  yield* importSample("orders.ndjson")

  yield* heading("The read model: kept by a projection that has followed the log all the while")
  const position = yield* Projection.catchUp(orderSummary)
  yield* indented(`The projection has applied the log up to position ${position}.\n`)
  yield* indented(ReportCommand.toText(yield* reportOrders))
})

const demo = Effect.gen(function*() {
  const start = yield* Clock.currentTimeMillis
  const seconds = Effect.map(Clock.currentTimeMillis, (now) => ((now - start) / 1000).toFixed(1))
  const server = process.env["DATABASE_URL"] ? "the PostgreSQL of DATABASE_URL" : "an embedded PostgreSQL from npm"
  yield* Console.log(`Order processing on a temporary database of ${server}.`)
  yield* withTemporaryOrders(Effect.gen(function*() {
    yield* Console.log(`Ready after ${yield* seconds} s.`)
    yield* Effect.raceFirst(tour, Projection.run(orderSummary))
    yield* Console.log(`\nDone after ${yield* seconds} s. Tidying up.`)
  }))
  yield* Console.log("Try it: pnpm orders --help")
})

demo.pipe(
  Effect.tapCause(report),
  Effect.provide(NodeServices.layer),
  Effect.provideService(Logger.LogToStderr, true),
  NodeRuntime.runMain({ disableErrorReporting: true, teardown: exitWith })
)
