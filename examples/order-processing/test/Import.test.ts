import * as EventStore from "@composable-ts/core/EventStore"
import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { importOrders, type LineResult } from "../src/import/Import.ts"
import { Orders } from "../src/Orders.ts"

const document = {
  orderId: "1",
  customerId: "LINDH",
  customerName: "Café Lindholm",
  orderedAt: "2026-03-03",
  requiredAt: "2026-03-31",
  shippedAt: "2026-03-05",
  shipper: "Overland",
  freight: "8.35",
  shipTo: { name: "Café", street: "Storgatan 12", city: "Malmö", region: null, postalCode: null, country: "Sweden" },
  lines: [{
    productId: "C03",
    productName: "Decaf Bourbon",
    category: "Coffee",
    unitPrice: "13.90",
    quantity: 12,
    discount: "0.05"
  }]
}

const open = { ...document, shippedAt: null }

/** What becomes of each document, one a line. */
const importing = (...documents: ReadonlyArray<object>) =>
  Stream.runCollect(importOrders(Stream.make(
    new TextEncoder().encode(documents.map((document) => `${JSON.stringify(document)}\n`).join(""))
  )))

const storedTypes = Effect.gen(function*() {
  const store = yield* EventStore.EventStore
  const { events } = yield* store.readAll({ after: 0n, limit: 1000 })
  return events.map(({ streamId, type }) => `${streamId} ${type}`)
})

const stored = (line: number, ...events: ReadonlyArray<"OrderPlaced" | "OrderShipped">): LineResult => ({
  _tag: "Stored",
  line,
  events
})
const refused = (line: number, reason: string): LineResult => ({ _tag: "Refused", line, reason })

const test = <E>(name: string, effect: Effect.Effect<void, E, Orders | EventStore.EventStore>) =>
  it.effect(name, () => Effect.provide(effect, Layer.provideMerge(Orders.layer, MemoryEventStore.layer)))

describe("Import", () => {
  test(
    "places each order and ships it where it was shipped",
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* importing(document, { ...open, orderId: "2" }), [
        stored(1, "OrderPlaced", "OrderShipped"),
        stored(2, "OrderPlaced")
      ])
    })
  )

  test(
    "stores nothing again, however the amounts are written",
    Effect.gen(function*() {
      yield* importing(document)
      const [line] = document.lines
      const rewritten = { ...document, freight: "8.350", lines: [{ discount: "0.0500", ...line, unitPrice: "13.9" }] }
      assert.deepStrictEqual(yield* importing(document, rewritten), [stored(1), stored(2)])
      assert.deepStrictEqual(yield* storedTypes, ["order-1 OrderPlaced.v1", "order-1 OrderShipped.v1"])
    })
  )

  test(
    "ships an order that was imported before it was shipped",
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* importing(open), [stored(1, "OrderPlaced")])
      assert.deepStrictEqual(yield* importing(document), [stored(1, "OrderShipped")])
      assert.deepStrictEqual(yield* importing(open), [stored(1)])
    })
  )

  test(
    "refuses other content under the same order",
    Effect.gen(function*() {
      yield* importing(document)
      assert.deepStrictEqual(
        yield* importing({ ...document, customerName: "Somebody else" }, { ...document, shippedAt: "2026-03-06" }),
        [
          refused(1, "order 1 is already placed with other content"),
          refused(2, "order 1 is already shipped, on 2026-03-05")
        ]
      )
    })
  )

  test(
    "does not store an order by halves when it was shipped before it was ordered",
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* importing({ ...document, shippedAt: "2026-03-01" }), [
        refused(1, "order 1 of 2026-03-03 cannot have been shipped before that, on 2026-03-01")
      ])
      assert.deepStrictEqual(yield* storedTypes, [])
    })
  )

  test(
    "gives its results in the order of the lines",
    Effect.gen(function*() {
      const many = Array.from(
        { length: 300 },
        (_, i) => i % 7 === 0 ? { ...document, orderId: `${i}`, lines: [] } : { ...document, orderId: `${i}` }
      )
      const results = yield* importing(...many)
      assert.deepStrictEqual(results.map(({ line }) => line), many.map((_, i) => i + 1))
      assert.deepStrictEqual(
        results.map(({ _tag }) => _tag),
        many.map((_, i) => i % 7 === 0 ? "Refused" : "Stored")
      )
    })
  )
})
