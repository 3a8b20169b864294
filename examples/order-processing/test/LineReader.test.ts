import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema, Stream } from "effect"
import { type InputLine, lines, maxLineBytes } from "../src/import/LineReader.ts"

const read = (...chunks: ReadonlyArray<Uint8Array>) => Stream.runCollect(lines(Stream.fromIterable(chunks)))
const bytes = (text: string) => new TextEncoder().encode(text)
const text = (number: number, text: string): InputLine => ({ _tag: "Text", number, text })

/** The bytes in pieces of the given sizes, over and over; the sizes may be zero. */
const pieces = (all: Uint8Array, sizes: ReadonlyArray<number>): ReadonlyArray<Uint8Array> => {
  const cut: Array<Uint8Array> = []
  for (let start = 0, i = 0; start < all.length; i++) {
    const size = sizes[i % sizes.length] ?? 1
    cut.push(all.subarray(start, start + size))
    start += size
  }
  return cut
}

describe("LineReader", () => {
  it.effect("reads lines that end with LF, CRLF or the file", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* read(bytes("one\ntwo\r\nthree")), [
        text(1, "one"),
        text(2, "two\r"),
        text(3, "three")
      ])
      assert.deepStrictEqual(yield* read(bytes("one\n")), [text(1, "one")])
    }))

  it.effect("drops blank lines, but counts them", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* read(bytes("\n \t\r\n\none\n\n")), [text(4, "one")])
      assert.deepStrictEqual(yield* read(), [])
      assert.deepStrictEqual(yield* read(bytes("")), [])
    }))

  it.effect("drops the byte order mark of the file, and only that", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* read(bytes("\uFEFFone\n\uFEFFtwo")), [text(1, "one"), text(2, "\uFEFFtwo")])
      assert.deepStrictEqual(yield* read(bytes("\uFEFF\none")), [text(2, "one")])
    }))

  it.effect("reports a line that is not UTF-8 and reads on", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* read(bytes("one\n"), new Uint8Array([0xff, 0xfe]), bytes("\ntwo")), [
        text(1, "one"),
        { _tag: "NotUtf8", number: 2 },
        text(3, "two")
      ])
    }))

  it.effect("takes a line of exactly the limit, and passes over one byte more", () =>
    Effect.gen(function*() {
      const longest = "x".repeat(maxLineBytes)
      assert.deepStrictEqual(yield* read(bytes(`${longest}\n${longest}x\nend`)), [
        text(1, longest),
        { _tag: "TooLong", number: 2 },
        text(3, "end")
      ])
      assert.deepStrictEqual(yield* read(bytes(`${longest}x`)), [{ _tag: "TooLong", number: 1 }])
    }))

  it.effect("passes over a line of 500 MB without keeping it", () =>
    Effect.gen(function*() {
      const before = process.memoryUsage().arrayBuffers
      let most = 0
      const long = Stream.range(1, 500).pipe(
        Stream.rechunk(1),
        Stream.map(() => {
          most = Math.max(most, process.memoryUsage().arrayBuffers - before)
          return new Uint8Array(1024 * 1024).fill(120)
        })
      )
      assert.deepStrictEqual(yield* Stream.runCollect(lines(Stream.concat(long, Stream.make(bytes("\nend\n"))))), [
        { _tag: "TooLong", number: 1 },
        text(2, "end")
      ])
      // What the collector has not come to yet counts as well, so the bound is wide; kept, it would be all.
      assert.isBelow(most, 400 * 1024 * 1024)
    }))

  const input = Schema.String.check(Schema.isMaxLength(60))
  const sizes = Schema.NonEmptyArray(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 7 })))

  it.effect.prop(
    "gives the same lines however the bytes are cut",
    [Schema.Array(input), Schema.Literals(["\n", "\r\n"]), sizes],
    ([content, lineEnd, sizes]) =>
      Effect.gen(function*() {
        const all = bytes(content.join(lineEnd))
        assert.deepStrictEqual(yield* read(...pieces(all, sizes)), yield* read(all))
      }),
    { arbitrary: { runs: 300 } }
  )

  it.effect.prop(
    "gives the lines that were written",
    [Schema.Array(Schema.String.check(Schema.isPattern(/^[a-zé€😀]{1,9}$/u))), sizes],
    ([content, sizes]) =>
      Effect.gen(function*() {
        const all = bytes(content.map((line) => `${line}\n`).join(""))
        assert.deepStrictEqual(yield* read(...pieces(all, sizes)), content.map((line, i) => text(i + 1, line)))
      }),
    { arbitrary: { runs: 300 } }
  )
})
