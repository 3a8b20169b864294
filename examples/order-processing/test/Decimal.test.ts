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
  })

  it("refuses what is not plain decimal notation", () => {
    for (const text of ["", " 1", "1.", ".5", "1e3", "1E999999999", "0x10", "NaN", "Infinity", "1,5", "--1", "+1"]) {
      assert.isTrue(Result.isFailure(decode(text)), text)
    }
    for (const value of [14, null, true, ["14.00"], `1${"0".repeat(40)}`]) {
      assert.isTrue(Result.isFailure(decode(value)), String(value))
    }
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
