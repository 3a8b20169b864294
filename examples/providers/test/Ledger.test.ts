import { assert, describe, it } from "@effect/vitest"
import { Ledger, violations } from "../src/Ledger.ts"

describe("a provider's ledger", () => {
  it("does what comes under one key once, and answers as it did then", () => {
    const ledger = new Ledger("honoured")
    let done = 0
    const ask = () => {
      ledger.called("k1", "charges", { amount: 5 })
      return ledger.once("k1", "charges", { amount: 5 }, () => ++done)
    }
    assert.deepStrictEqual([ask(), ask(), ask()], [1, 1, 1])
    assert.deepStrictEqual(ledger.book, {
      entries: [{ key: "k1", operation: "charges", calls: 3, done: 1 }],
      withoutKey: 0,
      keyReused: 0
    })
    assert.deepStrictEqual(violations(ledger.book), [])
  })

  it("refuses a key that was used for something else", () => {
    const ledger = new Ledger("honoured")
    ledger.once("k1", "charges", { amount: 5 }, () => 1)
    assert.deepStrictEqual(ledger.once("k1", "charges", { amount: 6 }, () => 2), { _tag: "KeyReused" })
    assert.deepStrictEqual(ledger.once("k1", "refunds", { amount: 5 }, () => 3), { _tag: "KeyReused" })
    assert.deepStrictEqual(violations(ledger.book), ["2 calls reused a key for something else"])
  })

  it("tells of what was done twice, and of calls without a key", () => {
    const ledger = new Ledger("ignored")
    ledger.once("k1", "charges", {}, () => 1)
    ledger.once("k1", "charges", {}, () => 2)
    ledger.refuse()
    assert.deepStrictEqual(violations(ledger.book), ["charges k1 was done 2 times", "1 calls had no key"])
  })
})
