import * as UuidV7 from "@composable-ts/core/UuidV7"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"

const Time = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2 ** 48 - 1 }))

describe("UuidV7", () => {
  it.prop("has the form, version and variant of RFC 9562, and its time", [Time], ([time]) => {
    const id = UuidV7.make(time)
    assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    assert.strictEqual(Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16), time)
  })

  it.prop("sorts by time", [Time, Time], ([a, b]) => {
    if (a !== b) assert.strictEqual(UuidV7.make(a) < UuidV7.make(b), a < b)
  })

  it("never comes twice, across many refills of its randomness", () => {
    assert.strictEqual(new Set(Array.from({ length: 50_000 }, () => UuidV7.make(0))).size, 50_000)
  })

  it("is random in every bit that is not time, version or variant", () => {
    const ids = Array.from({ length: 2_000 }, () => BigInt(`0x${UuidV7.make(0).replaceAll("-", "")}`))
    const random = [...Array(62).keys(), ...Array.from({ length: 12 }, (_, i) => 64 + i)]
    for (const bit of random) {
      const ones = ids.filter((id) => (id >> BigInt(bit)) & 1n).length
      // 2 000 fair coins fall outside this about once in 10^28.
      assert.isTrue(ones > 750 && ones < 1_250, `bit ${bit} is 1 in ${ones} of 2000`)
    }
  })
})
