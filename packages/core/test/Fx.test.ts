import * as Fx from "@composable-ts/core/Fx"
import { assert, describe, it } from "@effect/vitest"
import { Equal } from "effect"

const opened = { _tag: "Opened", owner: "Ada" } as const
const closed = { _tag: "Closed" } as const

describe("Fx", () => {
  it("append keeps the order of the events", () => {
    assert.deepStrictEqual(Fx.append(opened, closed), { _tag: "Append", events: [opened, closed] })
    assert.deepStrictEqual(Fx.append(closed, opened), { _tag: "Append", events: [closed, opened] })
  })

  it("append takes a list that has a first", () => {
    const events: readonly [typeof opened, ...ReadonlyArray<typeof closed>] = [opened, closed, closed]
    assert.deepStrictEqual(Fx.append(...events).events, events)
  })

  it("reject carries the reason as it is", () => {
    const reason = { _tag: "Overdrawn", missing: 5 } as const
    assert.deepStrictEqual(Fx.reject(reason), { _tag: "Reject", reason })
  })

  it("none cannot be made into something", () => {
    assert.deepStrictEqual(Fx.none, { _tag: "None" })
    assert.isTrue(Object.isFrozen(Fx.none))
  })

  it("two descriptions of the same are equal, of something else are not", () => {
    assert.isTrue(Equal.equals(Fx.append({ ...opened }, { ...closed }), Fx.append(opened, closed)))
    assert.isFalse(Equal.equals(Fx.append<unknown, []>(opened), Fx.append(opened, closed)))
    assert.isFalse(Equal.equals<unknown, unknown>(Fx.append(opened), Fx.reject(opened)))
  })

  it("every description survives JSON", () => {
    for (const fx of [Fx.none, Fx.append(opened, closed), Fx.reject({ _tag: "No" })]) {
      assert.deepStrictEqual(JSON.parse(JSON.stringify(fx)), { ...fx })
    }
  })
})
