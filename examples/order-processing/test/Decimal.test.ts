import { assert, describe, it } from "@effect/vitest"
import { BigDecimal, Result, Schema } from "effect"
import { Decimal, format } from "../src/domain/Decimal.ts"

const decode = Schema.decodeUnknownResult(Decimal)
const encode = Schema.encodeSync(Decimal)
const decimal = BigDecimal.fromStringUnsafe

describe("Decimal", () => {
  it("writes at least two decimals and never rounds", () => {
    assert.strictEqual(encode(decimal("14")), "14.00")
    assert.strictEqual(encode(decimal("14.000")), "14.00")
    assert.strictEqual(encode(decimal("-0.05")), "-0.05")
    assert.strictEqual(encode(decimal("1265793.0395")), "1265793.0395")
    assert.strictEqual(
      encode(decimal("12345678901234567890123.000000000000000001")),
      "12345678901234567890123.000000000000000001"
    )
    assert.strictEqual(encode(BigDecimal.make(5n, -20)), "500000000000000000000.00")
    assert.strictEqual(format(decimal("14.0"), 0), "14")
    assert.strictEqual(encode(decimal("0")), "0.00")
    assert.strictEqual(encode(decimal("-14")), "-14.00")
  })

  it("reads numbers with and without decimals", () => {
    for (const text of ["14", "-14", "14.5", "0", "9".repeat(40), `0.${"1".repeat(20)}`]) {
      assert.strictEqual(format(Result.getOrThrow(decode(text)), 0), text)
    }
  })

  it("refuses what is not plain decimal notation", () => {
    for (const text of ["", " 1", "1.", ".5", "1e3", "1E999999999", "0x10", "NaN", "Infinity", "1,5", "--1", "+1"]) {
      assert.isTrue(Result.isFailure(decode(text)), text)
    }
    for (const value of [14, null, true, ["14.00"], `1${"0".repeat(40)}`]) {
      assert.isTrue(Result.isFailure(decode(value)), String(value))
    }
  })

  it("is no number that it could not write", () => {
    const isDecimal = Schema.is(Decimal)
    for (
      const number of [
        BigDecimal.make(1n, 20),
        BigDecimal.make(10n ** 25n, 45),
        BigDecimal.make(10n ** 40n - 1n, 0),
        BigDecimal.make(-1n, -39)
      ]
    ) {
      assert.isTrue(isDecimal(number), String(number))
      assert.isTrue(BigDecimal.equals(Result.getOrThrow(decode(encode(number))), number))
    }
    for (
      const [value, scale] of [[1n, 21], [1n, 1_000_000_000], [1n, -40], [-1n, -1_000_000_000], [
        10n ** 40n,
        0
      ]] as const
    ) {
      assert.isFalse(isDecimal(BigDecimal.make(value, scale)), `${value}e${-scale}`)
    }
  })

  it("says at once that a number is too long to be written", () => {
    const encodeAll = Schema.encodeUnknownResult(Decimal, { errors: "all" })
    for (const number of [BigDecimal.make(1n, 1_000_000_000), BigDecimal.make(1n, -1_000_000_000)]) {
      const encoded = encodeAll(number)
      assert.include(
        Result.isFailure(encoded) ? encoded.failure.message : "",
        "Expected at most 40 digits before the point and 20 behind it"
      )
    }
  })

  it.prop("of any kind survives the wire", [Schema.toType(Decimal)], ([number]) => {
    assert.isTrue(BigDecimal.equals(Result.getOrThrow(decode(encode(number))), number))
  })

  it.prop(
    "survives the wire",
    [
      Schema.BigInt.check(Schema.isBetweenBigInt({ minimum: -(10n ** 30n), maximum: 10n ** 30n })),
      Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 12 }))
    ],
    ([value, scale]) => {
      const number = BigDecimal.make(value, scale)
      assert.isTrue(BigDecimal.equals(Result.getOrThrow(decode(encode(number))), number))
    }
  )
})
