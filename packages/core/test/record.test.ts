import type { Fields } from "@composable-ts/core/Event"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { compiled, copying } from "../src/internal/record.ts"

const fields = {
  late: Schema.optionalKey(Schema.String),
  first: Schema.Int,
  "a \"name\" `of` ${its} own\n\u2028": Schema.String,
  valueOf: Schema.optional(Schema.Unknown),
  toString: Schema.Unknown
}
const tricky = "a \"name\" `of` ${its} own\n\u2028"

describe("a record of an action", () => {
  for (const makeOf of [compiled, copying]) {
    const make = (of: Fields, payload?: object) => makeOf("Tag", of)!(payload)

    describe(`made by ${makeOf.name}`, () => {
      it("has the tag, then the fields, those that may be missing last", () => {
        const record = make(fields, { toString: 1, [tricky]: "x", late: "now", first: 0, valueOf: undefined })
        assert.deepStrictEqual(Object.entries(record), [
          ["_tag", "Tag"],
          ["first", 0],
          [tricky, "x"],
          ["toString", 1],
          ["late", "now"],
          ["valueOf", undefined]
        ])
        assert.strictEqual(Object.getPrototypeOf(record), Object.prototype)
      })

      it("lacks what may be missing, whatever every object inherits", () => {
        assert.deepStrictEqual(Object.keys(make(fields, { first: 0, [tricky]: "", toString: 1 })), [
          "_tag",
          "first",
          tricky,
          "toString"
        ])
        assert.deepStrictEqual(make({ late: Schema.optionalKey(Schema.String) }), { _tag: "Tag" })
        assert.deepStrictEqual(make({}), { _tag: "Tag" })
      })

      it("has nothing that is not declared", () => {
        assert.deepStrictEqual<unknown>(make({ a: Schema.Int }, { a: 1, b: 2, _tag: "Other" }), { _tag: "Tag", a: 1 })
      })
    })
  }

  it("is copied where a literal would say something else", () => {
    const symbol = Symbol("field")
    assert.isUndefined(compiled("Tag", { [symbol]: Schema.Int }))
    assert.isUndefined(compiled("Tag", { ["__proto__"]: Schema.Int }))
    const payload = Object.defineProperty({ [symbol]: 1 }, "__proto__", { value: { a: 1 }, enumerable: true })
    const made = copying("Tag", { [symbol]: Schema.Int, ["__proto__"]: Schema.Unknown })(payload)
    assert.deepStrictEqual(Object.getOwnPropertyDescriptor(made, "__proto__")?.value, { a: 1 })
    assert.strictEqual(Object.getOwnPropertyDescriptor(made, symbol)?.value, 1)
    assert.strictEqual(Object.getPrototypeOf(made), Object.prototype)
  })

  it("is copied where nothing may be compiled", () => {
    const original = globalThis.Function
    globalThis.Function = function() {
      throw new EvalError("Code generation from strings disallowed for this context")
    } as never
    try {
      assert.isUndefined(compiled("Tag", { a: Schema.Int }))
    } finally {
      globalThis.Function = original
    }
  })
})
