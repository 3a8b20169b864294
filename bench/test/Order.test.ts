import { assert, describe, it } from "@effect/vitest"
import { encodedAt, eventAt, order } from "../src/Order.ts"
import { stateAfter } from "../src/OrderContent.ts"

describe("Order", () => {
  it("an event's body takes about 313 bytes", () => {
    for (const version of [0, 1, 2, 3, 1_000_000]) {
      const { data } = encodedAt("r12.31", version)
      assert.closeTo(Buffer.byteLength(JSON.stringify(data)), 313, 15)
    }
  })

  it("replaying its events leads to the expected state", () => {
    for (const length of [1, 2, 7]) {
      const events = Array.from({ length }, (_, version) => eventAt("1", version))
      assert.deepStrictEqual(events.reduce(order.evolve, order.initial), stateAfter("1", length))
    }
  })
})
