/**
 * A process that takes part in transfers: `node Participant.ts '<Part as JSON>'`. With `traced`, it tells of its spans.
 */
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as PostgresOutbox from "@composable-ts/postgres/PostgresOutbox"
import * as Lease from "@composable-ts/projections/Lease"
import * as Saga from "@composable-ts/projections/Saga"
import * as PgClient from "@effect/sql-pg/PgClient"
import { Effect, Layer, Redacted, Tracer } from "effect"
import type { Part } from "./Participants.ts"
import { transfers, worker } from "./Transfers.ts"

const part = JSON.parse(process.argv[2]!) as Part

const Persistence = Layer.merge(PostgresEventStore.layer(), PostgresOutbox.layer()).pipe(
  Layer.provideMerge(PgClient.layer({ url: Redacted.make(part.url), maxConnections: 6 }))
)

const roles = {
  saga: Effect.provideService(Saga.run(transfers), Lease.Time, part.lease),
  worker: worker({ lease: part.lease })
}

const running = Effect.all(part.roles.map((role) => roles[role]), { concurrency: "unbounded", discard: true })

const telling = Tracer.make({
  span: (options) => {
    const span = new Tracer.NativeSpan(options)
    const parent = options.parent._tag === "Some" ? options.parent.value.spanId : null
    process.stdout.write(`${JSON.stringify({ traceId: span.traceId, spanId: span.spanId, parent })}\n`)
    return span
  }
})

await Effect.runPromise(
  running.pipe(part.traced === true ? Effect.withTracer(telling) : (effect) => effect, Effect.provide(Persistence))
)
