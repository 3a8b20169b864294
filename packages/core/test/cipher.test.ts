/**
 * The two ciphers: what one seals the other opens.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { nodeCipher, nodeModules, randomKey, webCipher } from "../src/internal/cipher.ts"

const node = nodeModules()

describe("the cipher of Node and that of WebCrypto", () => {
  it.effect.prop(
    "make the same, and open each other's",
    [Schema.String, Schema.String, Schema.String],
    ([text, place, salt]) =>
      Effect.promise(async () => {
        // JSON, as it is sealed, is well-formed.
        const [value, at] = [JSON.stringify(text), JSON.stringify(place)]
        const key = randomKey()
        const [here, there] = [nodeCipher(node!, key), webCipher(key)]
        const sealed = await here.seal(value, at, salt)
        assert.strictEqual(await there.seal(value, at, salt), sealed)
        assert.deepStrictEqual([await here.open(sealed, at), await there.open(sealed, at)], [value, value])
        assert.deepStrictEqual([await here.open(sealed, `${at} `), await there.open(sealed, `${at} `)], [
          undefined,
          undefined
        ])
      }),
    { arbitrary: { runs: 60 } }
  )

  it("draw another nonce for whatever differs", async () => {
    const cipher = nodeCipher(node!, randomKey())
    const asked = [["a", "b", "c"], ["a", "b", "d"], ["a", "c", "c"], ["b", "b", "c"], ["a", "b\",\"c", ""]] as const
    const nonces = await Promise.all(asked.map(async (one) => (await cipher.seal(one[0], one[1], one[2])).slice(2, 18)))
    assert.strictEqual(new Set(nonces).size, asked.length)
    assert.strictEqual((await nodeCipher(node!, randomKey()).seal("a", "b", "c")).slice(2, 18) === nonces[0], false)
  })

  it("take a megabyte", async () => {
    const cipher = webCipher(randomKey())
    const text = "ü".repeat(2 ** 20)
    assert.strictEqual(await cipher.open(await cipher.seal(text, "", ""), ""), text)
  })
})
