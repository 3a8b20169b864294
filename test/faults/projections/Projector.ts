/**
 * A process that runs the tally and kills itself at a given point: `node Projector.ts <url> <point> <count> <delay>`.
 * It dies when it comes to the point for the count-th time, or so many milliseconds later.
 */
import { EventStore } from "@composable-ts/core/EventStore"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as Projection from "@composable-ts/projections/Projection"
import * as PgClient from "@effect/sql-pg/PgClient"
import { Effect, Layer, Redacted } from "effect"
import * as Tally from "../../../packages/projections/test/Votes.ts"

const [url = "", point = "", count = "1", delay = "0"] = process.argv.slice(2)

let left = Number(count)

const die = () => process.kill(process.pid, "SIGKILL")

/** Where the process may die. */
const at = (name: string) =>
  Effect.sync(() => {
    if (name !== point || --left !== 0) return
    if (Number(delay) === 0) die()
    else setTimeout(die, Number(delay))
  })

const projection = Tally.tally(Tally.main, {
  before: () => at("before a handler"),
  after: () => at("after a handler")
})

const program = Projection.run({
  ...projection,
  apply: (events) => Effect.andThen(projection.apply(events), at("before a commit"))
}).pipe(
  Effect.updateService(EventStore, (events) => ({
    ...events,
    // What comes before a read is the commit of the batch before it.
    readAll: (options) => Effect.andThen(at("after a commit"), events.readAll(options))
  })),
  Effect.provide(
    PostgresEventStore.layer().pipe(Layer.provideMerge(PgClient.layer({ url: Redacted.make(url), maxConnections: 4 })))
  )
)

await Effect.runPromise(program)
