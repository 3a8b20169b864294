/**
 * A saga's aggregate that knows up to where it has handled its inputs.
 *
 * That an input takes effect once cannot rest on its command id alone: an input that led to no event leaves no trace of
 * it. Delivered again after a crash, behind later inputs, it would be decided anew, on a state that is not its own. So
 * each event that an input leads to carries the input's position in the log, in its metadata and so in its commit, and
 * the instance's state carries the last of them. A position that is not beyond it is passed over, in the same step whose
 * append the expected version proves: no process can come in between.
 *
 * An input that was refused may be handed over again behind later ones, at somebody's request. Its events carry its own
 * position and leave the last as it is; and there is an end to it by its command id, which stored events do leave.
 *
 * What leaves no trace had no effect, so to decide it again before any later input has had one is to decide it late, and
 * not twice. This needs an instance's inputs to be delivered in order of position; see `Saga.partitions`.
 */
import type * as Action from "@composable-ts/core/Action"
import type { Aggregate } from "@composable-ts/core/Aggregate"
import * as Fx from "@composable-ts/core/Fx"
import type { Policy } from "@composable-ts/core/Snapshot"
import type { AnySource } from "@composable-ts/core/Source"
import type { AnyTask } from "@composable-ts/core/Task"
import { hasProperty } from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

type Tag = { readonly _tag: string }

/** An input under way. */
export interface Input {
  readonly saga: string
  readonly position: bigint
  /** Whether it comes once more behind later ones, having had no effect in its turn. Default: it comes in its turn. */
  readonly turn?: "own" | "late" | undefined
}

/** The inputs under way, by the ids of their commands. */
export type UnderWay = ReadonlyMap<string, Input>

/** By saga, the position of the last input that led to events. Several sagas may have one aggregate. */
type Handled = Readonly<Record<string, bigint>>

/** An instance's own state, and how far it has come with its inputs. */
export interface Tracked<out S> {
  readonly state: S
  readonly handled: Handled
}

/** The aggregate refused what an input asked for. It tells a reason from whatever else a dispatch may fail with. */
export class InputRefused {
  readonly _tag = "InputRefused"
  readonly reason: unknown
  constructor(reason: unknown) {
    this.reason = reason
  }
}

/** Where an event's metadata tell of the input that led to it. */
const field = "sagaInput"

/** What goes with the events that an input leads to. */
export const metadataOf = ({ position, saga }: Input): Schema.JsonObject => ({
  [field]: { saga, position: String(position) }
})

const inputOf = (metadata: Schema.JsonObject): Input | undefined => {
  const stored = metadata[field]
  if (!hasProperty(stored, "saga") || !hasProperty(stored, "position")) return undefined
  const { position, saga } = stored
  return typeof saga === "string" && typeof position === "string" ? { saga, position: BigInt(position) } : undefined
}

/** Under what an event in memory tells of the input that led to it. No codec writes it, and no JSON. */
const mark: unique symbol = Symbol("@composable-ts/projections/input")

const marked = <E extends object>(event: E, input: Input | undefined): E =>
  input === undefined ? event : { ...event, [mark]: input }

const markOf = (event: object): Input | undefined => hasProperty(event, mark) ? event[mark] as Input : undefined

/** What may be decided of an input. */
type Decision<E, R, C> = Fx.Fx<E, R, C, AnyTask, AnySource>

/** A decision on an input: its events say which one, and so does its refusal tell that it is one. */
const decidedOn = <E extends Tag, R, C>(input: Input, fx: Decision<E, R, C>): Decision<E, InputRefused, C> => {
  switch (fx._tag) {
    case "Append": {
      const [first, ...rest] = fx.events
      return { ...fx, events: [marked(first, input), ...rest.map((event) => marked(event, input))] }
    }
    case "Reject":
      return { ...fx, reason: new InputRefused(fx.reason) }
    case "Parallel":
    case "Sequential":
      return { ...fx, fx: fx.fx.map((member) => decidedOn(input, member)) }
    default:
      return fx
  }
}

/**
 * Snapshots of a tracked state are another shape than those of the aggregate's own store: their versions are told apart
 * by this, so that the two leave each other's alone.
 */
const snapshotVersions = 2 ** 30

const policyOf = <S>(policy: Policy<S> | undefined): Policy<Tracked<S>> | undefined =>
  policy === undefined ? undefined : {
    ...policy,
    version: snapshotVersions + policy.version,
    state: Schema.Struct({ state: policy.state, handled: Schema.Record(Schema.String, Schema.BigIntFromString) })
  }

/** The aggregate, deciding each input once and in order. */
export const of = <S, C extends Tag, E extends Tag, R, N>(
  aggregate: Aggregate<S, C, E, R, N>,
  underWay: UnderWay
): Aggregate<Tracked<S>, C, E, InputRefused, N> => {
  const { actions, snapshot } = aggregate
  type Tracking = Aggregate<Tracked<S>, C, E, InputRefused, N>

  const decide: Tracking["decide"] = ({ handled, state }, command, meta) => {
    const input = underWay.get(meta.id)
    if (input === undefined) throw new Error(`${command._tag} ${meta.id} is not an input: nobody but inputs comes here`)
    if (input.turn !== "late" && input.position <= (handled[input.saga] ?? 0n)) return Fx.none
    return decidedOn(input, aggregate.decide(state, command, meta))
  }

  const evolve: Tracking["evolve"] = ({ handled, state }, event) => {
    const input = markOf(event)
    return {
      state: aggregate.evolve(state, event),
      // One that came late does not make those undone that came before it.
      handled: input === undefined || input.position <= (handled[input.saga] ?? 0n)
        ? handled
        : { ...handled, [input.saga]: input.position }
    }
  }

  const react: Tracking["react"] = ({ state }, event, meta) => aggregate.react(state, event, meta)

  const decode: Action.Vocabulary<C, E>["decode"] = (recorded) =>
    Result.map(actions.decode(recorded), (event) => marked(event, inputOf(recorded.metadata)))

  return {
    ...aggregate,
    actions: { ...actions, decode },
    initial: { state: aggregate.initial, handled: {} },
    decide,
    evolve,
    react,
    snapshot: policyOf(snapshot),
    reduce: (state, action, meta) => {
      if (!actions.isEvent(action)) return [state, decide(state, action, meta)]
      const next = evolve(state, action)
      return [next, react(next, action, meta)]
    }
  }
}
