/**
 * Steps of an order in the hands of a peer: an order that is placed is revised again and again. The actions are made
 * beforehand, since reducers are handed them.
 */
import { type Content, contentAt, type State, stateAfter } from "../OrderContent.ts"
import type { Work } from "../PeerProgram.ts"

/** How a peer handles an order: `S` its state, `A` the action that revises it. */
export interface Handling<S, A> {
  /** An order that is placed. */
  readonly placed: S
  readonly revise: (content: Content) => A
  readonly reduce: (state: S, action: A) => S
  readonly stateOf: (state: S) => State
}

const contents = 1_000

export const orderSteps = <S, A>({ placed, reduce, revise, stateOf }: Handling<S, A>): Work => {
  const actions = Array.from({ length: contents }, (_, index) => revise(contentAt("1", index + 1)))
  let state = placed
  return {
    doOne: (index) => {
      state = reduce(state, actions[index % contents]!)
    },
    faultAfter: (count) => {
      const { placed, revisions, total } = stateOf(state)
      const expected = stateAfter("1", (count - 1) % contents + 2)
      return placed && revisions === count && total === expected.total
        ? undefined
        : `${count} steps led to ${JSON.stringify(stateOf(state))}`
    }
  }
}
