/**
 * What the store of a part infers, and what it forbids.
 */
import * as Compose from "@composable-ts/core/Compose"
import * as Fx from "@composable-ts/core/Fx"
import * as Reducer from "@composable-ts/core/Reducer"
import * as Store from "@composable-ts/core/Store"
import { Effect, type Option } from "effect"
import { type Equals, type Proof } from "./Proof.ts"

interface Increment {
  readonly _tag: "Increment"
}
interface Name {
  readonly _tag: "Name"
  readonly name: string
}
interface No {
  readonly _tag: "No"
}
const counter = (count: number, _action: Increment) => Reducer.step(count + 1)
const label = (_name: string, action: Name) =>
  action.name === "" ? Reducer.step(action.name, Fx.reject({ _tag: "No" })) : Reducer.step(action.name)
const counted = (state: { readonly _tag: "on" } | { readonly _tag: "off" }, _action: Increment) => Reducer.step(state)
const app = Compose.compose({
  clicks: counter,
  inner: Compose.compose({ label }),
  many: Compose.each(label),
  maybe: Compose.optional(counter),
  phase: Compose.caseOf({ on: counted, off: counted })
})

export const program = Effect.gen(function*() {
  const store = yield* Store.make(app, { initial: Effect.runSync(Effect.never) })
  const clicks = Store.scope(store, "clicks")
  const inner = Store.scope(Store.scope(store, "inner"), "label")
  const one = Store.scopeOne(store, "many", "a")
  const maybe = Store.scope(store, "maybe")

  type Inferred = [
    Proof<Equals<typeof clicks, Store.Store<number, Increment, No>>>,
    Proof<Equals<typeof inner, Store.Store<string, Name, No>>>,
    Proof<Equals<typeof one, Store.Store<Option.Option<string>, Name, No>>>,
    Proof<Equals<typeof maybe, Store.Store<number | null, Increment, No>>>
  ]

  // @ts-expect-error -- no such part
  Store.scope(store, "cliks")
  // @ts-expect-error -- a collection: which of them?
  Store.scope(store, "many")
  // @ts-expect-error -- another part's action
  clicks.dispatch({ _tag: "Name", name: "a" })
  // @ts-expect-error -- the whole's action
  clicks.dispatch({ _tag: "clicks", action: { _tag: "Increment" } })
  // @ts-expect-error -- an element may be gone
  Effect.map(one.state, (name) => name.length)
  // @ts-expect-error -- a part of which there is one
  Store.scopeOne(store, "clicks", "a")
  // @ts-expect-error -- one of several cases, and not one of many elements
  Store.scopeOne(store, "phase", "on")
  // @ts-expect-error -- no element is named
  Store.scopeOne(store, "many")
  return undefined as Inferred | undefined
})
