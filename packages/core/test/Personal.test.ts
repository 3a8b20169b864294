/**
 * Personal values: what they do, and what they are as JSON.
 */
import * as Personal from "@composable-ts/core/Personal"
import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"

const email = Personal.present("p-1", "zoe@example.com")
const gone: Personal.Personal<string> = Personal.shredded("p-1")

describe("a personal value", () => {
  it("is matched, replaced and changed as what it is", () => {
    const shown = (personal: Personal.Personal<string>) =>
      Personal.match(personal, {
        Present: (value, subject) => `${value} of ${subject}`,
        Shredded: (id) => `none of ${id}`
      })
    assert.deepStrictEqual([shown(email), shown(gone)], ["zoe@example.com of p-1", "none of p-1"])
    const short = (personal: Personal.Personal<string>) => Personal.map(personal, (value) => value.length)
    assert.deepStrictEqual([short(email), short(gone)], [Personal.present("p-1", 15), Personal.shredded("p-1")])
    assert.deepStrictEqual([email, gone].map((one) => Personal.getOrElse(one, (id) => id)), ["zoe@example.com", "p-1"])
    assert.deepStrictEqual([email, gone].map(Personal.isPresent), [true, false])
  })
})

describe("the schema of a personal value", () => {
  const codec = Schema.toCodecJson(Personal.schema(Schema.Struct({ born: Schema.Date })))
  const encode = Schema.encodeUnknownResult(codec)
  const decode = Schema.decodeUnknownResult(codec)
  const born = new Date(86_400_000)

  it("has one shape for a value and one for its absence", () => {
    const pairs = [
      [Personal.present("p-1", { born }), { $personal: "p-1", value: { born: "1970-01-02T00:00:00.000Z" } }],
      [Personal.shredded("p-1"), { $personal: "p-1", shredded: true }]
    ] as const
    for (const [personal, json] of pairs) {
      assert.deepStrictEqual(encode(personal), Result.succeed(json))
      assert.deepStrictEqual(decode(json), Result.succeed(personal))
    }
  })

  it.each(["", "x".repeat(256), "a\0", "\ud800"])("refuses a subject that no store could keep: %j", (subject) => {
    assert.isTrue(Result.isFailure(encode(Personal.present(subject, { born }))))
    assert.isTrue(Result.isFailure(decode({ $personal: subject, shredded: true })))
  })

  it("takes the longest subject", () => {
    assert.isTrue(Result.isSuccess(encode(Personal.present("🦊".repeat(127), { born }))))
  })

  it("refuses anything else, without a word of what it holds", () => {
    const others = [
      "zoe@example.com",
      { $personal: "p-1", value: { born: "zoe@example.com" } },
      { $personal: "p-1" },
      { $personal: "p-1", sealed: "zoe@example.com" }
    ]
    for (const other of others) {
      const result = decode(other)
      assert.isTrue(Result.isFailure(result) && !result.failure.message.includes("zoe"), JSON.stringify(other))
    }
  })
})
