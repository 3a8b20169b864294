import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { Text } from "../src/domain/Text.ts"

const decode = Schema.decodeUnknownSync(Text)

describe("Text", () => {
  it("is what people write", () => {
    for (const text of ["a", "Vins et alcools Chevalier", " 東京 ", "👩‍👩‍👧", "x".repeat(500)]) {
      assert.strictEqual(decode(text), text)
    }
  })

  it("says what else it is", () => {
    assert.throws(() => decode(""), /Expected a text that is not blank/)
    assert.throws(() => decode(" \t"), /Expected a text that is not blank/)
    assert.throws(() => decode("x".repeat(501)), /Expected at most 500 characters/)
    assert.throws(() => decode("a\u0000b"), /Expected no control character/)
    assert.throws(() => decode("a\nb"), /Expected no control character/)
    assert.throws(() => decode("a\ud83d"), /Expected well-formed text, not half of a surrogate pair/)
  })
})
