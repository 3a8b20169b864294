import * as StreamId from "@composable-ts/core/StreamId"
import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"

const issue = (category: string, id: string): string => {
  const made = StreamId.make(category, id)
  return Result.isFailure(made) ? made.failure.message : assert.fail(`${category}-${id} was accepted`)
}
const streamId = (category: string, id: string) => Result.getOrThrow(StreamId.make(category, id))

const Category = Schema.String.check(Schema.isPattern(/^[A-Za-z][A-Za-z0-9_]{0,20}$/))
const Id = Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(600))

const isStorable = (id: string): boolean => !/\p{Surrogate}|\0/u.test(id)

describe("StreamId", () => {
  it("joins category and id", () => {
    assert.strictEqual(streamId("order", "10248"), "order-10248")
  })

  it.prop("gives back what it was made of, also when the id holds hyphens", [Category, Id, Id], ([category, a, b]) => {
    const id = `${a}-${b}`
    const made = StreamId.make(category, id)
    if (Result.isFailure(made)) return
    assert.strictEqual(StreamId.category(made.success), category)
    assert.strictEqual(StreamId.id(made.success), id)
  })

  it.prop("takes exactly the text that fits, counted in bytes", [Category, Id], ([category, id]) => {
    const fits = new TextEncoder().encode(`${category}-${id}`).length <= StreamId.maxBytes
    assert.strictEqual(Result.isSuccess(StreamId.make(category, id)), fits && isStorable(id))
  })

  it("counts bytes, not characters, at the border", () => {
    for (const [character, bytes] of [["a", 1], ["%", 1], ["é", 2], ["漢", 3], ["🦊", 4]] as const) {
      const room = StreamId.maxBytes - "c-".length
      const most = character.repeat(Math.floor(room / bytes)) + "a".repeat(room % bytes)
      assert.strictEqual(new TextEncoder().encode(streamId("c", most)).length, StreamId.maxBytes)
      assert.include(issue("c", `${most}a`), "more than 512 bytes")
    }
    assert.include(issue("c", "x".repeat(10_000_000)), "more than 512 bytes")
  })

  it("takes no category that could be confused with an id", () => {
    for (const category of ["", "1st", "_a", "a-b", "a b", "é", "a\n", "a$"]) {
      assert.include(issue(category, "1"), "the category must match")
    }
    assert.strictEqual(streamId("orderLine_2", "1"), "orderLine_2-1")
  })

  it("takes no id that a database could not store, and says why", () => {
    assert.include(issue("order", ""), "the id is empty")
    assert.include(issue("order", "a\0b"), "NUL")
    assert.include(issue("order", "a\ud83d"), "surrogate")
    assert.include(issue("order", "\ude00\ud83d"), "surrogate")
    assert.strictEqual(streamId("order", "🦊"), "order-🦊")
  })

  it("names the category in the failure, shortened when it is endless", () => {
    assert.include(issue("order", ""), `category "order"`)
    assert.isBelow(issue("x".repeat(1_000_000) + "!", "1").length, 1_000)
  })

  it("does not normalise", () => {
    assert.notStrictEqual<string>(streamId("a", "é"), streamId("a", "e\u0301"))
    assert.notStrictEqual<string>(streamId("a", "x"), streamId("a", "x "))
  })
})
