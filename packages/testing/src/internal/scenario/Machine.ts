/**
 * What a scenario tests: a reducer or an aggregate, seen as steps from state to state.
 */
import type { Meta } from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import { embed, outcomeOf } from "@composable-ts/core/Compose"
import * as Fx from "@composable-ts/core/Fx"
import type { AnyOutcomes, AnyReducer } from "@composable-ts/core/Reducer"
import * as Result from "effect/Result"
import { tagOf } from "./words.ts"

/** What an action came to. */
export interface Stepped {
  readonly state: unknown
  readonly fx: Fx.AnyFx
  readonly refusal: Fx.Reject<unknown> | undefined
  readonly events: ReadonlyArray<unknown>
  /** Why the events could not be stored as declared. */
  readonly unstorable: string | undefined
}

export interface Machine {
  readonly step: (state: unknown, action: unknown, meta: Meta) => Stepped
  readonly outcomeOf: (at: Fx.Path, name: string) => AnyOutcomes[string] | undefined
  /** An action of a part, as the whole sees it. */
  readonly embed: (at: Fx.Path, action: unknown) => unknown
  /** Where the effects of the whole stand among those of others. */
  readonly place: string
  /**
   * When effects start. A reducer's store first reduces all that waits, so that a later cancel wins over an earlier
   * start; an aggregate's starts them with each commit.
   */
  readonly starts: "once nothing waits" | "with each step"
}

// eslint-disable-next-line typescript/no-explicit-any -- a bound that every aggregate must fit, whatever it is about
export type AnyAggregate = Aggregate.Aggregate<any, any, any, any, any>

const nothing: ReadonlyArray<never> = []

const ofReducer = (reducer: AnyReducer): Machine => ({
  step: (before, action, meta) => {
    const [state, fx] = reducer(before, action, meta)
    const refusal = Fx.refusalOf(fx)
    return { state: refusal === undefined ? state : before, fx, refusal, events: nothing, unstorable: undefined }
  },
  outcomeOf: (at, name) => outcomeOf(reducer, at, name),
  embed,
  place: "",
  starts: "once nothing waits"
})

const ofAggregate = (aggregate: AnyAggregate): Machine => ({
  step: (before, action, meta) => {
    const { effects: fx, events, refusal, state } = Aggregate.step(aggregate, before, action as never, meta)
    return { state, fx, refusal, events, unstorable: unstorable(aggregate, events) }
  },
  outcomeOf: (_at, name) => aggregate.outcomes[name],
  embed: (_at, action) => action,
  place: `/${aggregate.category}`,
  starts: "with each step"
})

const unstorable = ({ actions }: AnyAggregate, events: ReadonlyArray<unknown>): string | undefined => {
  for (const event of events) {
    const encoded = actions.encode(event)
    if (Result.isFailure(encoded)) return `${tagOf(event)}: ${encoded.failure.message}`
  }
  return undefined
}

export const machineOf = (subject: AnyReducer | AnyAggregate): Machine =>
  typeof subject === "function" ? ofReducer(subject) : ofAggregate(subject)
