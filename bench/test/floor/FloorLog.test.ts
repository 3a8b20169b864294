import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { connections, work } from "../../src/floor/Connection.ts"
import * as FloorLog from "../../src/floor/FloorLog.ts"
import * as Log from "../../src/Log.ts"
import { encodedAt } from "../../src/Order.ts"
import * as TestServer from "../TestServer.ts"

const open = Effect.gen(function*() {
  const { url } = yield* Log.open
  const [client] = yield* connections(url, 1)
  yield* work(() => client!.query(FloorLog.create))
  return client!
})

layer(TestServer.layer, { excludeTestServices: true })("FloorLog", (it) => {
  it.effect("stores the same rows as the log, one by one, many at once, with a notification, or by COPY", () =>
    Effect.gen(function*() {
      const client = yield* open
      yield* work(async () => {
        await FloorLog.insertOne(client, "a", 0)
        await FloorLog.insertMany(client, "a", [1, 2])
        assert.strictEqual(await FloorLog.insertAndNotify(client, "a", 3), "4")
        await FloorLog.copyMany(client, "a", [4, 5])
      })
      const { rows } = yield* work(() =>
        client.query("SELECT stream_id, version, type, data, command_size FROM floor.events ORDER BY version")
      )
      const expected = [1, 2, null, 1, 2, null].map((commandSize, version) => {
        const { data, type } = encodedAt("a", version)
        return { stream_id: "order-a", version, type, data, command_size: commandSize }
      })
      assert.deepEqual(rows, expected)
      assert.isUndefined(yield* FloorLog.faultOf(client, "a", 6))
    }))

  it.effect("refuses two events with one version", () =>
    Effect.gen(function*() {
      const client = yield* open
      yield* work(() => FloorLog.insertOne(client, "a", 0))
      const error = yield* Effect.flip(work(() => FloorLog.insertOne(client, "a", 0)))
      assert.include(error.message, "unique constraint")
      const ofCopy = yield* Effect.flip(work(() => FloorLog.copyMany(client, "a", [1, 0])))
      assert.include(ofCopy.message, "unique constraint")
      assert.isUndefined(yield* FloorLog.faultOf(client, "a", 1))
    }))

  it.effect("finds missing events and gaps, each round by its own streams", () =>
    Effect.gen(function*() {
      const client = yield* open
      yield* work(() => FloorLog.insertMany(client, "r1.0", [0, 1, 2]))
      yield* work(() => FloorLog.insertMany(client, "r2.0", [0, 2]))
      assert.isUndefined(yield* FloorLog.faultOf(client, "r1.", 3))
      assert.include(yield* FloorLog.faultOf(client, "r1.", 4), "4 events were acknowledged, but 3 are stored")
      assert.include(yield* FloorLog.faultOf(client, "r2.", 2), "1 streams have gaps")
    }))
})
