import { assert, describe, it } from "@effect/vitest"
import type { Schema } from "effect"
import { storedJson } from "../src/internal/storedJson.ts"

/** The same numbers in every run, evenly spread between 0 and 1. */
const randomness = (seed: number) => () => {
  seed = seed + 0x6d2b79f5 | 0
  let t = Math.imul(seed ^ seed >>> 15, 1 | seed)
  t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t
  return ((t ^ t >>> 14) >>> 0) / 4_294_967_296
}

const leaves: ReadonlyArray<() => unknown> = [
  () => "text",
  () => "",
  () => "\uD800 \u0000 \u2028 \"\\ 😀",
  () => 0,
  () => -0,
  () => 1.5e300,
  () => Number.MIN_VALUE,
  () => Number.MAX_SAFE_INTEGER + 2,
  () => Number.NaN,
  () => -Infinity,
  () => true,
  () => false,
  () => null,
  () => undefined,
  () => Symbol("s"),
  () => () => 1,
  () => 1n,
  () => new Date(0),
  () => new Date(Number.NaN),
  () => new Map([[1, 2]]),
  () => new Uint8Array([1, 2]),
  () => Object(1),
  () => Object("boxed"),
  () => Object(false),
  () => /x/,
  () => new Error("e"),
  () => Object.assign(() => 1, { toJSON: () => "callable" }),
  () => ({ toJSON: (key: unknown) => ({ key }) }),
  () => ({ toJSON: 5, a: 1 }),
  () => ({
    get got() {
      return -0
    }
  }),
  () => Object.assign([1, 2], { toJSON: () => "array" }),
  () => Object.assign([1, 2], { extra: 3 }),
  () => Object.assign([], { 0: 1, 2: 3 }),
  () => Object.create({ inherited: 1 }, { own: { value: 2, enumerable: true }, hidden: { value: 3 } }),
  () => Object.assign(Object.create(null), { a: 1 }),
  () => ({ [Symbol("s")]: 1, a: 1 }),
  () => Object.defineProperty({ a: 1 }, "__proto__", { value: { b: 2 }, enumerable: true }),
  () => Object.defineProperty({ a: 1 }, "hidden", { value: 2, enumerable: false }),
  () => new Proxy({ a: [1] }, {}),
  () => Object.freeze({ a: Object.freeze([1]) }),
  () =>
    new (class Point {
      x = 1
      get y() {
        return 2
      }
    })()
]

const keys = ["a", "b", "10", "9", "", "constructor", "toString", "__proto__", "with \"quotes\"", "ключ"]

/** A value of any kind, of which this share of the leaves is plain. */
const valueOf = (random: () => number, plain: number, depth: number): unknown => {
  const pick = <A>(from: ReadonlyArray<A>): A => from[Math.floor(random() * from.length)]!
  const size = () => Math.floor(random() * 4)
  if (depth === 0 || random() < 0.4) return random() < plain ? pick(leaves.slice(0, 8))() : pick(leaves)()
  if (random() < 0.4) return Array.from({ length: size() }, () => valueOf(random, plain, depth - 1))
  const record = {}
  for (let left = size(); left > 0; left--) {
    const key = random() < plain ? pick(keys.slice(0, 6)) : pick(keys)
    Object.defineProperty(record, key, {
      value: valueOf(random, plain, depth - 1),
      enumerable: true,
      configurable: true,
      writable: true
    })
  }
  return record
}

/** What comes of it: the result, or that there is none. */
const outcome = (f: () => unknown): unknown => {
  try {
    return { result: f() }
  } catch {
    return "throws"
  }
}

const stored = (value: unknown) => outcome(() => storedJson(value as Schema.Json))
const throughText = (value: unknown) => outcome(() => JSON.parse(JSON.stringify(value)))

/** In every detail: order of members, negative zero, prototypes. */
const assertSame = (value: unknown) => {
  const actual = stored(value)
  const expected = throughText(value)
  assert.deepStrictEqual(actual, expected)
  assert.strictEqual(JSON.stringify(actual), JSON.stringify(expected))
}

const isDeeplyFrozen = (value: unknown): boolean =>
  typeof value !== "object" || value === null ||
  Object.isFrozen(value) && Object.values(value).every((member) => isDeeplyFrozen(member))

describe("what is stored of a value", () => {
  it("is what JSON makes of it, for any value", () => {
    for (let seed = 0; seed < 20_000; seed++) {
      assertSame(valueOf(randomness(seed), [1, 0.97, 0.5][seed % 3]!, 4))
    }
  })

  it("is what JSON makes of each kind of value, wherever it stands", () => {
    for (const leaf of leaves) {
      for (const value of [leaf(), [leaf()], { a: leaf(), b: 1 }, { a: [{ b: leaf() }] }]) assertSame(value)
    }
  })

  it("is what JSON makes of it, too, when it is deep, and nothing when it contains itself", () => {
    let deep: unknown = { end: -0 }
    for (let level = 0; level < 500; level++) deep = level % 2 === 0 ? [deep] : { deep }
    assertSame(deep)
    const cycle: Record<string, unknown> = { a: 1 }
    cycle["b"] = [cycle]
    assert.strictEqual(stored(cycle), "throws")
  })

  it("is what JSON makes of it, too, when every object inherits more", () => {
    const prototype = Object.prototype as { inherited?: number; toJSON?: () => unknown }
    try {
      prototype.inherited = 1
      assertSame({ a: 1 })
      prototype.toJSON = () => "all alike"
      assertSame({ a: 1 })
      assertSame([1])
    } finally {
      delete prototype.inherited
      delete prototype.toJSON
    }
  })

  it("is frozen all the way, and a copy of its own", () => {
    const plain = { a: [{ b: 1 }], c: {} }
    const unusual = { a: [{ b: new Date(0) }], c: {} }
    for (const value of [plain, unusual]) {
      const kept = storedJson(value as unknown as Schema.JsonObject)
      assert.isTrue(isDeeplyFrozen(kept))
      assert.notStrictEqual(kept["a"], value.a as unknown)
      assert.isFalse(Object.isFrozen(value.c))
    }
  })
})
