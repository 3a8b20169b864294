/**
 * Features made of features. The structure is the type: state, actions and effects of the whole follow from its parts.
 *
 * A part's action reaches the whole wrapped in its place, `{ _tag: "cart", action }`, that of one among many
 * `{ _tag: "orders", id, action }`. What a part wants done carries the same place, as data.
 */
import * as HashMap from "effect/HashMap"
import type { Meta } from "./Action.ts"
import * as Fx from "./Fx.ts"
import type {
  ActionOf,
  AnyOutcomes,
  AnyReducer,
  Asked,
  AskedOf,
  FxOf,
  Reducer,
  StateOf,
  Step,
  WithOutcomes
} from "./Reducer.ts"

/** Many instances of one feature, by id. */
export interface Each<out R extends AnyReducer> {
  readonly _tag: "Each"
  readonly reducer: R
}

/** A feature that is sometimes there; its state is `null` when it is not. */
export interface Maybe<out R extends AnyReducer> {
  readonly _tag: "Maybe"
  readonly reducer: R
}

/** One of several features at a time, told apart by the `_tag` of the state. */
export interface CaseOf<out C extends Readonly<Record<string, AnyReducer>>> {
  readonly _tag: "CaseOf"
  readonly cases: C
}

/** What a feature can be made of. */
export type Part = AnyReducer | Each<AnyReducer> | Maybe<AnyReducer> | CaseOf<Readonly<Record<string, AnyReducer>>>
/** A feature's parts, by key. */
export type Parts = Readonly<Record<string, Part>>

/** Many instances of one feature, by id. Their state is a `HashMap`, so that changing one costs the same among many. */
export const each = <R extends AnyReducer>(reducer: R): Each<R> => ({ _tag: "Each", reducer })

/** A feature that is sometimes there: a dialogue, say. */
export const optional = <R extends AnyReducer>(reducer: R): Maybe<R> => ({ _tag: "Maybe", reducer })

/** A case whose reducer's state can never have the case's `_tag` would never be found. */
type Findable<C extends Readonly<Record<string, AnyReducer>>> = {
  readonly [K in keyof C]: [Extract<StateOf<C[K]>, { readonly _tag: K }>] extends [never]
    ? { readonly "no state of this reducer has the _tag": K }
    : unknown
}

/** One of several features at a time, each under the `_tag` of its state. */
export const caseOf = <const C extends Readonly<Record<string, AnyReducer>>>(cases: C & Findable<C>): CaseOf<C> => ({
  _tag: "CaseOf",
  cases
})

type CaseState<C extends Readonly<Record<string, AnyReducer>>> = { readonly [K in keyof C]: StateOf<C[K]> }[keyof C]

type PartState<P> = P extends Each<infer R> ? HashMap.HashMap<string, StateOf<R>>
  : P extends Maybe<infer R> ? StateOf<R> | null
  : P extends CaseOf<infer C> ? CaseState<C>
  : P extends AnyReducer ? StateOf<P>
  : never

/** An action of a part, as the whole sees it. */
export interface Of<out K, out A> {
  readonly _tag: K
  readonly action: A
}
/** An action of one among many, or of one case, as the whole sees it. */
export interface OfOne<out K, out Id, out A> extends Of<K, A> {
  readonly id: Id
}

type PartAction<K, P> = P extends Each<infer R> ? OfOne<K, string, ActionOf<R>>
  : P extends Maybe<infer R> ? Of<K, ActionOf<R>>
  : P extends CaseOf<infer C> ? { readonly [Id in keyof C & string]: OfOne<K, Id, ActionOf<C[Id]>> }[keyof C & string]
  : P extends AnyReducer ? Of<K, ActionOf<P>>
  : never

type PartReducer<P> = P extends Each<infer R> ? R
  : P extends Maybe<infer R> ? R
  : P extends CaseOf<infer C> ? C[keyof C]
  : P extends AnyReducer ? P
  : never

/** The state of a feature made of these parts. */
export type ComposedState<P extends Parts> = { readonly [K in keyof P]: PartState<P[K]> }
/** The actions of a feature made of these parts. */
export type ComposedAction<P extends Parts> = { readonly [K in keyof P]: PartAction<K, P[K]> }[keyof P]
/**
 * What a feature made of these parts may want done. The actions within are the parts' own; a store wraps them in their
 * place when it sends them.
 */
export type ComposedFx<P extends Parts> = { readonly [K in keyof P]: FxOf<PartReducer<P[K]>> }[keyof P]

/** A reducer that knows its parts. */
export interface WithParts<out P extends Parts> {
  readonly parts: P
}

/** The reducer of a feature made of these parts. */
export type Composed<P extends Parts> =
  & Reducer<ComposedState<P>, ComposedAction<P>, Fx.None | ComposedFx<P>>
  & WithParts<P>

type Action = { readonly _tag: string; readonly id?: string; readonly action: never }
type State = Readonly<Record<string, unknown>>

/**
 * Makes a feature of parts.
 *
 * @example
 * ```ts
 * import * as Compose from "@composable-ts/core/Compose"
 * import * as Fx from "@composable-ts/core/Fx"
 *
 * const counter = (state: number, _action: { readonly _tag: "Increment" }) => [state + 1, Fx.none] as const
 * const both = Compose.compose({ left: counter, right: counter })
 *
 * const meta = { id: "1", time: 0, correlationId: "1", causationId: "1" }
 * const [state] = both({ left: 0, right: 0 }, { _tag: "left", action: { _tag: "Increment" } }, meta)
 * state // => { left: 1, right: 0 }
 * ```
 */
export const compose = <const P extends Parts>(parts: P): Composed<P> => {
  const reduce = (state: State, action: Action, meta: Meta): Step<State, Fx.AnyFx> => {
    const part = Object.hasOwn(parts, action._tag) ? parts[action._tag] : undefined
    return part === undefined ? [state, Fx.none] : reducePart(part, state, action, meta)
  }
  return Object.assign(reduce as unknown as Composed<P>, { parts })
}

const reducePart = (part: Part, state: State, { _tag: key, action, id }: Action, meta: Meta): Step<State, Fx.AnyFx> => {
  const before = state[key]
  if (typeof part === "function") {
    const [after, fx] = part(before, action, meta)
    return placed({ key }, state, after, fx)
  }
  switch (part._tag) {
    case "Maybe": {
      if (before === null) return [state, Fx.none]
      const [after, fx] = part.reducer(before, action, meta)
      return placed({ key }, state, after, after === null ? Fx.all(Fx.cancelAll, fx) : fx)
    }
    case "CaseOf": {
      if ((before as { readonly _tag: string })._tag !== id) return [state, Fx.none]
      const reducer = part.cases[id]
      if (reducer === undefined) return [state, Fx.none]
      const [after, fx] = reducer(before, action, meta)
      return placed({ key, id }, state, after, after._tag === id ? fx : Fx.all(Fx.cancelAll, fx))
    }
    case "Each": {
      const elements = before as HashMap.HashMap<string, unknown>
      if (!HashMap.has(elements, id!)) return [state, Fx.none]
      const element = HashMap.getUnsafe(elements, id!)
      const [after, fx] = part.reducer(element, action, meta)
      return [
        after === element ? state : { ...state, [key]: HashMap.set(elements, id!, after) },
        Fx.within({ key, id: id! }, fx)
      ]
    }
  }
}

/** The whole with a part's next state, and what the part wants, in its place. A part that stays leaves the whole as it is. */
const placed = (segment: Fx.Segment, state: State, after: unknown, fx: Fx.AnyFx): Step<State, Fx.AnyFx> => [
  after === state[segment.key] ? state : { ...state, [segment.key]: after },
  Fx.within(segment, fx)
]

/** An action of a part as the whole sees it. */
export const embed = (at: Fx.Path, action: unknown): unknown =>
  at.reduceRight<unknown>(
    (inner, { id, key }) => id === undefined ? { _tag: key, action: inner } : { _tag: key, id, action: inner },
    action
  )

/** What reports the outcome of a task, or the values of a source, that was asked for at this place. */
export const outcomeOf = (reducer: AnyReducer, at: Fx.Path, name: string): AnyOutcomes[string] | undefined => {
  const [segment, ...rest] = at
  if (segment === undefined) return (reducer as Partial<WithOutcomes<Asked>>).outcomes?.[name]
  const part = (reducer as Partial<WithParts<Parts>>).parts?.[segment.key]
  const inner = part === undefined || typeof part === "function"
    ? part
    : part._tag === "CaseOf"
    ? part.cases[segment.id!]
    : part.reducer
  return inner === undefined ? undefined : outcomeOf(inner, rest, name)
}

/** A reducer that was combined of several. */
export interface WithReducers<out Rs extends ReadonlyArray<AnyReducer>> {
  readonly "~reducers"?: Rs
}

/** The tasks whose outcomes nothing turns into actions: a store does not accept a reducer that has some. */
export type Unanswered<R extends AnyReducer> = R extends WithParts<infer P>
  ? { readonly [K in keyof P]: Unanswered<PartReducer<P[K]>> }[keyof P]
  : R extends WithReducers<infer Rs> ? { readonly [I in keyof Rs]: Unanswered<Rs[I]> }[number]
  : Exclude<AskedOf<FxOf<R>>, R extends WithOutcomes<infer T> ? T : never>

/** The actions that a reducer sends to itself but does not understand. */
export type Misdirected<R extends AnyReducer> = R extends WithParts<infer P>
  ? { readonly [K in keyof P]: Misdirected<PartReducer<P[K]>> }[keyof P]
  : R extends WithReducers<infer Rs> ? { readonly [I in keyof Rs]: Misdirected<Rs[I]> }[number]
  : Exclude<Fx.ActionOf<FxOf<R>>, ActionOf<R>>

type Intersection<U> = (U extends unknown ? (value: U) => void : never) extends (value: infer I) => void ? I : never

type CombinedState<Rs extends ReadonlyArray<AnyReducer>> = Intersection<StateOf<Rs[number]>>
type CombinedAction<Rs extends ReadonlyArray<AnyReducer>> = ActionOf<Rs[number]>

/**
 * Runs reducers one after the other on the same state and action; what they want done is done together.
 *
 * A composed reducer ignores actions that are not its parts'. Any other sees every action, so its type must allow for
 * all of them. When one takes away a part of another (an element of a collection, an optional feature, a case), or a
 * part of a part, all that this had under way is cancelled.
 */
export const combine = <const Rs extends ReadonlyArray<AnyReducer>>(
  ...reducers: Rs
):
  & Reducer<CombinedState<Rs>, CombinedAction<Rs>, Fx.None | Fx.Nested<Fx.LeafOf<FxOf<Rs[number]>> | Fx.CancelAll>>
  & WithReducers<Rs> =>
{
  const parts: Parts = Object.assign({}, ...reducers.map(partsOf))
  const outcomes = Object.assign({}, ...reducers.map((reducer) => (reducer as Partial<WithOutcomes<Asked>>).outcomes))
  /** A reducer with parts sees to them itself. */
  const foreign = reducers.map((reducer) => {
    const own = partsOf(reducer)
    return Object.fromEntries(Object.entries(parts).filter(([key]) => !Object.hasOwn(own, key)))
  })
  const reduce = (state: State, action: Action, meta: Meta): Step<State, Fx.AnyFx> => {
    let next = state
    const fx: Array<Fx.AnyFx> = []
    for (let i = 0; i < reducers.length; i++) {
      const [after, wanted] = reducers[i]!(next, action, meta)
      if (after !== next) fx.push(...removed(foreign[i]!, next, after))
      next = after
      fx.push(wanted)
    }
    return [next, Fx.all(...fx)]
  }
  return Object.assign(reduce as never, { parts, outcomes })
}

const partsOf = (reducer: AnyReducer): Parts => (reducer as Partial<WithParts<Parts>>).parts ?? {}

/** What must be cancelled because its part, or a part of that, is gone. */
const removed = (parts: Parts, before: State, after: State): ReadonlyArray<Fx.AnyFx> =>
  Object.entries(parts).flatMap(([key, part]) => {
    const was = before[key]
    const is = after[key]
    if (was === is) return []
    if (typeof part === "function") return removedWithin({ key }, part, was, is)
    switch (part._tag) {
      case "Maybe":
        if (is === null) return [Fx.within({ key }, Fx.cancelAll)]
        return was === null ? [] : removedWithin({ key }, part.reducer, was, is)
      case "CaseOf": {
        const id = (was as { readonly _tag: string })._tag
        if (id !== (is as { readonly _tag: string })._tag) return [Fx.within({ key, id }, Fx.cancelAll)]
        const reducer = part.cases[id]
        return reducer === undefined ? [] : removedWithin({ key, id }, reducer, was, is)
      }
      case "Each": {
        const elements = is as HashMap.HashMap<string, unknown>
        return [...was as HashMap.HashMap<string, unknown>].flatMap(([id, element]) =>
          HashMap.has(elements, id)
            ? removedWithin({ key, id }, part.reducer, element, HashMap.getUnsafe(elements, id))
            : [Fx.within({ key, id }, Fx.cancelAll)]
        )
      }
    }
  })

const removedWithin = (segment: Fx.Segment, reducer: AnyReducer, was: unknown, is: unknown): ReadonlyArray<Fx.AnyFx> =>
  was === is ? [] : removed(partsOf(reducer), was as State, is as State).map((fx) => Fx.within(segment, fx))

/** Wants something more done whenever a value that follows from the state has changed. */
export const onChange = <R extends AnyReducer, V, const G extends Fx.AnyFx>(
  reducer: R,
  select: (state: StateOf<R>) => V,
  react: (value: V, previous: V, state: StateOf<R>) => G
):
  & Reducer<StateOf<R>, ActionOf<R>, Fx.None | Fx.Nested<Fx.LeafOf<FxOf<R> | G>>>
  & WithReducers<readonly [R, Reducer<StateOf<R>, ActionOf<R>, G>]> =>
{
  const reduce: AnyReducer = (state, action, meta) => {
    const [after, fx] = reducer(state, action, meta)
    const previous = select(state)
    const value = select(after)
    return Object.is(value, previous) ? [after, fx] : [after, Fx.all(fx, react(value, previous, after))]
  }
  return Object.assign(reduce as never, reducer)
}
