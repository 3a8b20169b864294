import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger } from "effect"
import * as Bisection from "../src/internal/bisection.ts"
import * as Poison from "../src/Poison.ts"
import * as Projection from "../src/Projection.ts"
import * as Chains from "./Chains.ts"

/** Applies positions 1 to `head` of which some fail, page by page; returns what was tried, and what was settled. */
const follow = (head: number, page: number, fails: (position: number) => boolean) => {
  const bisection = Bisection.make()
  const settled: Array<number> = []
  let attempts = 0
  let at = 0
  while (at < head) {
    const end = Math.min(head, at + (bisection.limitBehind(BigInt(at)) ?? page))
    assert.isAbove(end, at)
    attempts++
    let isGood = true
    for (let i = at + 1; i <= end; i++) isGood &&= !fails(i)
    if (isGood) {
      bisection.applied(BigInt(end))
      at = end
    } else if (end - at === 1) {
      bisection.settled()
      settled.push(end)
      at = end
    } else bisection.failed(BigInt(end))
  }
  return { attempts, settled }
}

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i)

describe("what is tried of a batch that fails", () => {
  it("is halved to the one that fails, and all others are applied", () => {
    for (const culprit of [1, 2, 999, 1_000, 1_001, 1_999, 2_000, 3_000]) {
      const { attempts, settled } = follow(6_000, 2_000, (position) => position === culprit)
      assert.deepStrictEqual(settled, [culprit])
      // Eleven halvings, as many doublings behind it, and three pages.
      assert.isAtMost(attempts, 11 + 11 + 4, `${culprit}`)
    }
  })

  it("costs one attempt each where many that fail stand together", () => {
    const { attempts, settled } = follow(2_000, 2_000, (position) => position > 700 && position <= 1_000)
    assert.deepStrictEqual(settled, range(701, 1_000))
    assert.isAtMost(attempts, 300 + 30)
  })

  it("costs in the order of a logarithm each where they are scattered", () => {
    for (const gap of [2, 3, 10, 64, 100]) {
      const { attempts, settled } = follow(2_000, 2_000, (position) => position % gap === 0)
      assert.strictEqual(settled.length, Math.floor(2_000 / gap))
      assert.isAtMost(attempts, settled.length * (2 * Math.ceil(Math.log2(gap)) + 2) + 24, `${gap}`)
    }
  })
})

describe("a batch with 300 events that fail", () => {
  it.live("is applied with few more attempts than these", () => {
    let attempts = 0
    const projection = Chains.batchChains(
      ({ globalPosition: at }) => at > 200n && at <= 500n ? Effect.fail("poison") : Effect.void,
      { poison: Poison.skip }
    )
    const counting = {
      ...projection,
      apply: (events: Parameters<typeof projection.apply>[0]) =>
        Effect.suspend(() => {
          attempts++
          return projection.apply(events)
        })
    }
    return Effect.gen(function*() {
      yield* Chains.append(...Array.from({ length: 1_000 }, (_, i) => `${i % 10}`))
      assert.strictEqual(yield* Projection.catchUp(counting), 1_000n)
      yield* Chains.verify(({ globalPosition: at }) => at > 200n && at <= 500n)
      assert.isAtMost(attempts, 300 + 40)
    }).pipe(
      Effect.provide(TestDatabase.layerMigrated("log", PostgresEventStore.layer())),
      Effect.provide(Logger.layer([]))
    )
  })
})
