import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"

const { admits, any, empty, exact, format, noStream, streamExists } = ExpectedVersion

const Version = Schema.Int.check(Schema.isBetween({ minimum: -1, maximum: 1_000 }))

describe("ExpectedVersion", () => {
  it.prop(
    "exact admits its own version and no other",
    [Version, Version],
    ([expected, actual]) => admits(exact(expected), actual) === (expected === actual)
  )

  it.prop("a stream either exists or not", [Version], ([actual]) => {
    assert.strictEqual(admits(noStream, actual), actual === -1)
    assert.strictEqual(admits(streamExists, actual), actual >= 0)
    assert.isTrue(admits(any, actual))
  })

  it("exact at the version of an empty stream is no stream", () => {
    assert.strictEqual(empty, -1)
    assert.strictEqual(exact(empty), noStream)
    assert.deepStrictEqual(exact(0), { _tag: "Exact", version: 0 })
  })

  it("reads well in a message", () => {
    assert.deepStrictEqual([exact(3), noStream, streamExists, any].map(format), [
      "version 3",
      "no stream",
      "an existing stream",
      "any version"
    ])
  })

  it("survives JSON", () => {
    for (const expected of [exact(3), noStream, streamExists, any]) {
      assert.deepStrictEqual(JSON.parse(JSON.stringify(expected)), { ...expected })
    }
  })
})
