import type { Meta } from "@composable-ts/core/Action"
import * as Compose from "@composable-ts/core/Compose"
import * as Fx from "@composable-ts/core/Fx"
import * as Reducer from "@composable-ts/core/Reducer"
import * as ReducerTest from "@composable-ts/testing/ReducerTest"
import { assert, describe, it } from "@effect/vitest"

interface Basket {
  readonly items: ReadonlyArray<string>
  readonly note: string | undefined
}
type Action =
  | { readonly _tag: "Add"; readonly item: string }
  | { readonly _tag: "Clear" }
  | { readonly _tag: "Note" }
  | { readonly _tag: "Look" }

const forget = Fx.debounce("forget", 60_000, { _tag: "Clear" })
const basket = (state: Basket, action: Action, { id, time }: Meta) => {
  switch (action._tag) {
    case "Add":
      return action.item === ""
        ? Reducer.step({ ...state, items: [] }, Fx.all(forget, Fx.reject({ _tag: "Nameless", by: id })))
        : Reducer.step({ ...state, items: [...state.items, action.item] }, forget)
    case "Clear":
      return Reducer.step({ ...state, items: [] }, Fx.all(Fx.cancel("forget"), Fx.cancel("hint")))
    case "Note":
      return Reducer.step({ ...state, note: `${id}@${time}` })
    case "Look":
      return Reducer.step(state, Fx.send({ _tag: "Note" }))
  }
}
const empty: Basket = { items: [], note: undefined }
const add = (item: string) => ({ _tag: "Add", item }) as const
const tea: Basket = { ...empty, items: ["tea"] }

const broken = (check: () => void): ReducerTest.RuleBroken => {
  try {
    check()
  } catch (error) {
    assert.instanceOf(error, ReducerTest.RuleBroken)
    return error as ReducerTest.RuleBroken
  }
  throw new Error("the rule holds")
}

describe("a rule of a reducer", () => {
  it("holds where the reducer does what it says", () => {
    ReducerTest.check(basket, { given: empty, when: add("tea"), thenState: tea, thenEffects: forget })
    ReducerTest.check(basket, { given: tea, when: { _tag: "Look" }, thenEffects: Fx.send({ _tag: "Note" }) })
    ReducerTest.check(basket, {
      given: tea,
      when: { _tag: "Clear" },
      thenState: empty,
      thenAmongEffects: [Fx.cancel("hint")]
    })
    ReducerTest.check(basket, {
      given: empty,
      when: [add("tea"), { _tag: "Clear" }],
      thenState: empty,
      thenEffects: Fx.all(forget, Fx.cancel("forget"), Fx.cancel("hint"))
    })
    ReducerTest.check(basket, {
      given: empty,
      when: [add("tea"), add("")],
      thenRefused: { _tag: "Nameless", by: "action-2" }
    })
  })

  it("tells the reducer the time and the ids that it says, and some where it says none", () => {
    const note = { _tag: "Note" } as const
    ReducerTest.check(basket, { given: empty, when: note, thenState: { ...empty, note: "action-1@0" } })
    ReducerTest.check(basket, {
      given: empty,
      when: note,
      meta: { id: "x", time: 7 },
      thenState: { ...empty, note: "x@7" }
    })
  })

  it("is for composed features, too", () => {
    const shop = Compose.compose({ basket, other: basket })
    ReducerTest.check(shop, {
      given: { basket: empty, other: empty },
      when: { _tag: "basket", action: add("tea") },
      thenState: { basket: tea, other: empty },
      thenEffects: Fx.within({ key: "basket" }, forget)
    })
  })

  it("leaves nothing unsaid: what it leaves out must not happen", () => {
    const state = broken(() => ReducerTest.check(basket, { given: empty, when: add("tea"), thenEffects: forget }))
    assert.match(
      state.message,
      /^Not the state after Add that the rule expects:\n {2}items\[0\]: expected nothing, +got "tea"/
    )
    assert.deepStrictEqual([state.expected, state.actual], [empty, tea])
    const effects = broken(() => ReducerTest.check(basket, { given: empty, when: add("tea"), thenState: tea }))
    assert.match(effects.message, /^Not what Add has done that the rule expects:/)
    assert.deepStrictEqual([effects.expected, effects.actual], [Fx.none, forget])
  })

  it("is broken by another state, effect, reason or by none", () => {
    const messages = [
      () => ReducerTest.check(basket, { given: empty, when: add("tea"), thenState: empty, thenEffects: forget }),
      () =>
        ReducerTest.check(basket, { given: empty, when: add("tea"), thenState: tea, thenEffects: Fx.cancel("forget") }),
      () =>
        ReducerTest.check(basket, {
          given: empty,
          when: add("tea"),
          thenState: tea,
          thenAmongEffects: [forget, Fx.cancel("a")]
        }),
      () => ReducerTest.check(basket, { given: empty, when: add(""), thenRefused: { _tag: "Nameless", by: "me" } }),
      () => ReducerTest.check(basket, { given: empty, when: add("tea"), thenRefused: { _tag: "Nameless", by: "me" } }),
      () => ReducerTest.check(basket, { given: empty, when: add(""), thenState: empty }),
      () => ReducerTest.check(basket, { given: empty, when: [add(""), add("tea")], thenState: tea })
    ].map((check) => broken(check).message.split("\n").slice(0, 2).join("|"))
    assert.match(messages[0]!, /^Not the state after Add that the rule expects:\| {2}items/)
    assert.match(messages[1]!, /^Not what Add has done that the rule expects:\| {2}/)
    assert.strictEqual(messages[2], "Expected Add to have this done, among others:|  cancel \"a\"")
    assert.match(
      messages[3]!,
      /^Not the reason for refusing Add that the rule expects:\| {2}by: expected "me", +got "action-1"/
    )
    assert.strictEqual(
      messages[4],
      `Expected Add to be refused with {"_tag":"Nameless","by":"me"}, but it was accepted and had this done:|` +
        `send {"_tag":"Clear"} in 60000 ms as "forget"`
    )
    assert.strictEqual(
      messages[5],
      `Expected Add to be accepted, but it was refused: {"_tag":"Nameless","by":"action-1"}`
    )
    assert.strictEqual(
      messages[6],
      `Only the last of 2 actions may be refused, but number 1, Add, was: {"_tag":"Nameless","by":"action-1"}`
    )
  })

  it("points at the test", () => {
    const { stack } = broken(() => ReducerTest.check(basket, { given: empty, when: add("tea"), thenState: empty }))
    assert.include(stack!.split("\n").find((line) => line.includes(" at ")), "ReducerTest.test.ts")
  })

  it("does not compile where it says nothing, too much, or what cannot be", () => {
    const never = () => {
      // @ts-expect-error -- it expects nothing
      ReducerTest.check(basket, { given: empty, when: add("tea") })
      const thenRefused = { _tag: "Nameless", by: "" } as const
      // @ts-expect-error -- refused and accepted
      ReducerTest.check(basket, { given: empty, when: add("tea"), thenState: tea, thenRefused })
      // @ts-expect-error -- not one of its reasons
      ReducerTest.check(basket, { given: empty, when: add("tea"), thenRefused: { _tag: "Full" } })
      // @ts-expect-error -- not one of its actions
      ReducerTest.check(basket, { given: empty, when: { _tag: "Remove" }, thenState: empty })
      // @ts-expect-error -- not its state
      ReducerTest.check(basket, { given: [], when: add("tea"), thenState: tea })
    }
    assert.isFunction(never)
  })
})
