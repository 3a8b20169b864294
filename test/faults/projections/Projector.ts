/**
 * A process that runs tallies: `node Projector.ts '<Orders as JSON>'`. What it shall do to itself, and where, its orders
 * say. It ends cleanly at SIGTERM.
 */
import { EventStore } from "@composable-ts/core/EventStore"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as Lease from "@composable-ts/projections/Lease"
import * as Projection from "@composable-ts/projections/Projection"
import * as PgClient from "@effect/sql-pg/PgClient"
import { Cause, Effect, Exit, Fiber, Layer, Redacted } from "effect"
import * as Tally from "../../../packages/projections/test/Votes.ts"
import type { Orders, Point } from "./Orders.ts"
import { unfenced } from "./Unfenced.ts"

const orders = JSON.parse(process.argv[2]!) as Orders

const now = Date.now
Date.now = () => now() + (orders.clock ?? 0)

let left = orders.fate?.count ?? 0

/** Where the process may meet its fate. */
const at = (name: Point) =>
  Effect.sync(() => {
    const { fate } = orders
    if (fate === undefined || name !== fate.point || --left !== 0) return
    const meet = () => process.kill(process.pid, fate.signal)
    if (fate.delay === 0) meet()
    else setTimeout(meet, fate.delay)
  })

const tally = (name: string) => {
  const projection = Tally.tally({ ...Tally.main, name }, {
    before: () => at("before a handler"),
    after: () => at("after a handler")
  })
  return {
    ...projection,
    apply: (events: Parameters<typeof projection.apply>[0]) =>
      Effect.andThen(projection.apply(events), at("before a commit"))
  }
}

const clients = PgClient.layer({ url: Redacted.make(orders.url), maxConnections: 4 + orders.tallies.length })

const [first, ...more] = orders.tallies.map(tally)

const program = Projection.run(first!, ...more).pipe(
  Effect.updateService(EventStore, (events) => ({
    ...events,
    // What comes before a read is the commit of the batch before it.
    readAll: (options) =>
      at("after a commit").pipe(
        Effect.andThen(events.readAll(options)),
        Effect.tap(({ events }) => events.length > 0 ? at("after a read") : Effect.void)
      )
  })),
  Effect.updateService(PgClient.PgClient, (client) => orders.unfenced === true ? unfenced(client) : client),
  Effect.provideService(Lease.Time, orders.lease),
  Effect.provide(PostgresEventStore.layer().pipe(Layer.provideMerge(clients)))
)

const fiber = Effect.runFork(program)
process.on("SIGTERM", () => Effect.runFork(Fiber.interrupt(fiber)))
const exit = await Effect.runPromise(Fiber.await(fiber))
if (Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause)) {
  process.stderr.write(Cause.pretty(exit.cause))
  process.exitCode = 1
}
