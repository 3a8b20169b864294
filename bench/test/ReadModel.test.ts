import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Log from "../src/Log.ts"
import { eventAt } from "../src/Order.ts"
import * as ReadModel from "../src/ReadModel.ts"
import * as TestServer from "./TestServer.ts"

const events = [0, 1, 2, 3].map((version) => ({
  event: eventAt("1", version),
  recorded: { globalPosition: BigInt(version + 1) }
}))
const sum = events.reduce((sum, { event }) => sum + event.total, 0)

layer(TestServer.layer, { excludeTestServices: true })("ReadModel", (it) => {
  it.effect("holds a row for each event, written one by one or all at once", () =>
    Effect.gen(function*() {
      const { context, sql } = yield* Log.open
      yield* sql.unsafe(ReadModel.create("one"))
      yield* sql.unsafe(ReadModel.create("all_at_once"))
      for (const { event, recorded } of events) {
        yield* sql.unsafe(ReadModel.insert("one"), ReadModel.values(event, recorded.globalPosition))
      }
      yield* sql.unsafe(ReadModel.insertAll("all_at_once"), ReadModel.columns(events))
      assert.deepStrictEqual(yield* sql`SELECT * FROM one`, yield* sql`SELECT * FROM all_at_once`)
      assert.isUndefined(yield* Effect.provideContext(ReadModel.faultOf("one", 4, sum), context))
    }))

  it.effect("finds rows that are missing, misplaced or of another content", () =>
    Effect.gen(function*() {
      const { context, sql } = yield* Log.open
      yield* sql.unsafe(ReadModel.create("read_model"))
      const fault = Effect.provideContext(ReadModel.faultOf("read_model", 4, sum), context)
      yield* sql.unsafe(ReadModel.insertAll("read_model"), ReadModel.columns(events.slice(1)))
      assert.include(yield* fault, "3 rows for 4 events")
      yield* sql`INSERT INTO read_model VALUES (9, '1', 'customer', ${events[0]!.event.total})`
      assert.include(yield* fault, "the last row is of position 9, not 4")
      yield* sql`UPDATE read_model SET position = 1, total = 0 WHERE position = 9`
      assert.include(yield* fault, "the totals sum up to")
    }))
})
