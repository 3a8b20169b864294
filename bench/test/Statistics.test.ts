import { assert, describe, it } from "@effect/vitest"
import { median, paired, quantile, summarise } from "../src/Statistics.ts"

describe("Statistics", () => {
  it("quantile is a value of the series, by the nearest rank", () => {
    const hundred = Array.from({ length: 100 }, (_, index) => 100 - index)
    assert.strictEqual(quantile(hundred, 0), 1)
    assert.strictEqual(quantile(hundred, 0.5), 50)
    assert.strictEqual(quantile(hundred, 0.99), 99)
    assert.strictEqual(quantile(hundred, 1), 100)
    assert.strictEqual(quantile([7], 0.99), 7)
  })

  it("quantile sorts by value, not as text, and leaves the series alone", () => {
    const series = [10, 9, 1_000, 2]
    assert.strictEqual(quantile(series, 1), 1_000)
    assert.strictEqual(quantile(series, 0), 2)
    assert.deepStrictEqual(series, [10, 9, 1_000, 2])
  })

  it("quantile refuses an empty series and a share that is none", () => {
    assert.throws(() => quantile([], 0.5), RangeError)
    assert.throws(() => quantile([1], 1.5), RangeError)
    assert.throws(() => quantile([1], Number.NaN), RangeError)
  })

  it("median is the middle, or halfway between the two in the middle", () => {
    assert.strictEqual(median([3, 1, 2]), 2)
    assert.strictEqual(median([4, 1, 3, 2]), 2.5)
    assert.strictEqual(median([1, 2]), 1.5)
    assert.strictEqual(median([5]), 5)
    for (let length = 1; length < 60; length++) {
      const series = Array.from({ length }, (_, index) => index)
      assert.strictEqual(median(series), (length - 1) / 2, `of ${length} values`)
    }
  })

  it("summarise gives the median and the ends", () => {
    assert.deepStrictEqual(summarise([4, -1, 10]), { median: 4, min: -1, max: 10 })
  })

  it("paired compares round with round", () => {
    // The machine slows down by ten in the second round: the figures spread, the ratio does not.
    assert.deepStrictEqual(paired([20, 2, 22], [10, 1, 11]), { median: 2, min: 2, max: 2 })
    // The ratio of the medians would be 1.
    assert.deepStrictEqual(paired([1, 2, 3], [2, 1, 3]), { median: 1, min: 0.5, max: 2 })
    assert.deepStrictEqual(paired([1, 2, 9], [2, 8, 3]), { median: 0.5, min: 0.25, max: 3 })
    assert.throws(() => paired([1, 2], [1]), RangeError)
  })
})
