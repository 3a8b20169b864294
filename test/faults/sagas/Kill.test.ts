/**
 * T44, T45: real processes on real PostgreSQL hand over a saga's inputs and carry out its effects, and are killed in turn;
 * the connections of one are cut. Money is conserved at every look, and each transfer has one story.
 * `KILLS` says how many die; 5 where it is not set.
 */
import { Outbox } from "@composable-ts/core/Outbox"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as PostgresOutbox from "@composable-ts/postgres/PostgresOutbox"
import * as SagaStatus from "@composable-ts/projections/SagaStatus"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Tracer } from "effect"
import { SqlClient } from "effect/sql"
import { participant } from "./Participants.ts"
import { areOver, log, openAccounts, request, transfers, verify, verifyCommits } from "./Transfers.ts"

const kills = Number(process.env["KILLS"] ?? "5")

const database = Layer.merge(PostgresEventStore.layer(), PostgresOutbox.layer()).pipe(
  Layer.provideMerge(TestDatabase.layer)
)

const ids = ["a", "b", "c", "d", "shut"]
const total = ids.length * 1_000

/** Waits until all transfers are over, checking all the while. */
const untilOver = Effect.gen(function*() {
  while (true) {
    const endings = verify(total, yield* log)
    if (areOver(endings)) return endings
    yield* Effect.sleep(20)
  }
})

/** The connections of everybody else are cut, as by a failover. */
const cutConnections = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql`
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`
})

describe("processes with sagas", () => {
  it.live(
    `killed ${kills} times: the money adds up, and each step of each transfer is done once`,
    () =>
      Effect.gen(function*() {
        yield* openAccounts(ids, 1_000, ["shut"])
        const asking = yield* Effect.forkChild(Effect.gen(function*() {
          for (let i = 0; i < 20 * kills; i++) {
            const [from, to] = [ids[i % 4]!, ids[(i * 3 + 1) % 5]!]
            yield* request({
              transfer: `${i}`,
              from,
              to,
              cents: i % 9 === 0 ? 5_000 : 10 + i,
              patience: i % 7 === 0 ? 0 : 60_000
            })
            yield* Effect.sleep(10)
          }
        }))
        const start = participant({ roles: ["saga", "worker"], lease: 500 })
        let [older, newer] = [yield* start, yield* start]
        for (let i = 0; i < kills; i++) {
          yield* Effect.sleep(Math.random() * 600)
          yield* older.kill
          ;[older, newer] = [newer, yield* start]
          verify(total, yield* log)
          yield* verifyCommits
        }
        yield* Fiber.join(asking)
        yield* cutConnections
        const endings = yield* untilOver
        assert.strictEqual(endings.size, 20 * kills)
        assert.includeMembers([...endings.values()], ["Completed", "Refused", "Compensated"])

        // Nothing is left to be done, and nothing was given up.
        const outbox = yield* Outbox
        yield* Effect.repeat(outbox.list({ limit: 1 }), { until: (left) => left.length === 0 })
        const isSettled = ({ open, parts }: SagaStatus.SagaStatus) =>
          open === 0 && parts.every(({ behind }) => behind === 0n)
        const status = yield* Effect.repeat(SagaStatus.of(transfers, "1 minute"), { until: isSettled })
        assert.deepInclude(status, { ended: endings.size, dead: 0, refused: 0, overdue: 0 })
        assert.deepStrictEqual(verify(total, yield* log), endings)
      }).pipe(Effect.scoped, Effect.provide(database)),
    60_000 + kills * 10_000
  )
})

describe("one trace", () => {
  it.live("shows a whole transfer, across the process that hands over inputs and the one that carries out effects", () =>
    Effect.gen(function*() {
      yield* openAccounts(["a", "b", "c"], 1_000, ["c"])
      const [saga, worker] = [
        yield* participant({ roles: ["saga"], lease: 5_000, traced: true }),
        yield* participant({ roles: ["worker"], lease: 5_000, traced: true })
      ]
      const root = yield* request({ transfer: "1", from: "a", to: "c", cents: 5, patience: 60_000 }).pipe(
        Effect.andThen(Effect.currentSpan),
        Effect.withSpan("request"),
        Effect.withTracer(Tracer.make({ span: (options) => new Tracer.NativeSpan(options) }))
      )
      let endings = verify(3_000, yield* log)
      while (!areOver(endings)) endings = verify(3_000, yield* log)
      assert.strictEqual(endings.get("1"), "Compensated")

      const ofTransfer = (yield* log).slice(4)
      assert.lengthOf(ofTransfer, 7)
      const [requested] = ofTransfer
      const spans = [saga, worker].map(({ said }) =>
        said().split("\n").filter((line) => line.startsWith("{")).map((line) =>
          JSON.parse(line) as { traceId: string; spanId: string; parent: string | null }
        )
      )
      const inTrace = spans.map((all) => all.filter(({ traceId }) => traceId === root.traceId))
      for (const some of inTrace) assert.isAbove(some.length, 2)
      // From the span of each event one comes, parent by parent, to the request.
      const parents = new Map(inTrace.flat().map(({ parent, spanId }) => [spanId, parent]))
      for (const { correlationId, metadata } of ofTransfer) {
        assert.strictEqual(correlationId, requested!.correlationId)
        const [, traceId, spanId] = String(metadata["traceparent"]).split("-")
        assert.strictEqual(traceId, root.traceId)
        let at = spanId ?? ""
        while (parents.has(at)) at = parents.get(at) ?? ""
        const isRooted = at === root.spanId || at === String(requested!.metadata["traceparent"]).split("-")[2]
        assert.isTrue(isRooted, `${spanId} leads to ${at}`)
      }
    }).pipe(Effect.scoped, Effect.provide(database)))
})
