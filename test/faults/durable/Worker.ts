/**
 * A process that carries out jobs and rings alarms: `node Worker.ts <url>`.
 */
import * as AggregateStore from "@composable-ts/core/AggregateStore"
import * as EffectWorker from "@composable-ts/core/EffectWorker"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as PostgresOutbox from "@composable-ts/postgres/PostgresOutbox"
import * as PgClient from "@effect/sql-pg/PgClient"
import { Effect, Layer, Redacted } from "effect"
import { durableAlarm } from "./Alarms.ts"
import { durableJob, provider } from "./Jobs.ts"

const Stores = Layer.mergeAll(
  AggregateStore.layerDurable(durableJob),
  AggregateStore.layerDurable(durableAlarm),
  provider
).pipe(
  Layer.provideMerge(Layer.mergeAll(PostgresEventStore.layerOpen(), PostgresOutbox.layerOpen())),
  Layer.provideMerge(PgClient.layer({ url: Redacted.make(process.argv[2]!), maxConnections: 4 }))
)

await Effect.runPromise(
  Effect.provide(
    EffectWorker.run([durableJob, durableAlarm], { lease: "600 millis", poll: "100 millis", concurrency: 16 }),
    Stores
  )
)
