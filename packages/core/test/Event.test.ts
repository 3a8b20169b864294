import * as Event from "@composable-ts/core/Event"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"

const first = { total: Schema.Int }
const second = { total: Schema.Int, currency: Schema.String }
const third = { price: Schema.Struct(second) }

describe("Event", () => {
  it("starts at version 1, with nothing older", () => {
    const event = Event.v1(first)
    assert.strictEqual(event.version, 1)
    assert.strictEqual(event.fields, first)
    assert.deepStrictEqual(event.older, [])
  })

  it("keeps every older version, oldest first, each with the step to the next", () => {
    const event = Event.v1(first)
      .next(second, (old) => ({ ...old, currency: "EUR" }))
      .next(third, (price) => ({ price }))
    assert.strictEqual(event.version, 3)
    assert.strictEqual(event.fields, third)
    assert.deepStrictEqual(event.older.map(({ fields, version }) => [version, fields]), [[1, first], [2, second]])
    const upcasted = event.older.reduce<unknown>((payload, { upcast }) => upcast(payload as never), { total: 5 })
    assert.deepStrictEqual(upcasted, { price: { total: 5, currency: "EUR" } })
  })

  it("a further version leaves the declaration that it continues as it was", () => {
    const event = Event.v1(first)
    const one = event.next(second, (old) => ({ ...old, currency: "EUR" }))
    const other = event.next({ sum: Schema.Int }, ({ total }) => ({ sum: total }))
    assert.strictEqual(event.version, 1)
    assert.deepStrictEqual(event.older, [])
    assert.deepStrictEqual([one.fields, other.fields.sum], [second, Schema.Int])
  })
})
