/**
 * A saga, or process manager, carries through what no single aggregate can: a transfer between two accounts, an order
 * that needs a payment and stock. It is an aggregate whose inputs are the events of others. What it decides on them is
 * stored like any aggregate's events, and what it wants done, commands to others, tasks, timers, in the same commit.
 *
 * {@link define} says which events are its inputs, and what each asks of which instance; {@link run} follows the log and
 * hands them over. Each input takes effect once and in order, whatever crashes and however many processes run the saga.
 */
import type * as Action from "@composable-ts/core/Action"
import type { Aggregate } from "@composable-ts/core/Aggregate"
import * as AggregateStore from "@composable-ts/core/AggregateStore"
import type { DurableAggregate } from "@composable-ts/core/DurableAggregate"
import type { DecodeError } from "@composable-ts/core/EventError"
import { EventStoreError, Overloaded, StreamTombstoned } from "@composable-ts/core/EventStoreError"
import type { RecordedEvent } from "@composable-ts/core/RecordedEvent"
import * as Tombstone from "@composable-ts/core/Tombstone"
import * as TraceContext from "@composable-ts/core/TraceContext"
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Formatter from "effect/Formatter"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { hash } from "./internal/hash.ts"
import * as Refusals from "./internal/refusals.ts"
import * as SagaInstances from "./internal/sagaInstances.ts"
import { saga as sagaPrefix } from "./internal/subject.ts"
import * as Tracked from "./internal/tracked.ts"
import type * as Lease from "./Lease.ts"
import * as Poison from "./Poison.ts"
import * as Start from "./Start.ts"
import * as Subscription from "./Subscription.ts"

type Tag = { readonly _tag: string }

/** Where inputs come from: an aggregate, a saga's too; or, of one that is defined elsewhere, what is known of it. */
export interface Source<out V extends Action.AnyVocabulary> {
  /** The first part of its streams' ids. */
  readonly category: string
  readonly actions: V
}

/** What an input asks of a saga. */
export interface Rule<in E, out C> {
  /**
   * The instances that the event concerns: an id, several, or none. Pure: it is asked again when the event is delivered
   * again.
   */
  readonly correlate: (event: E, recorded: RecordedEvent) => string | ReadonlyArray<string> | undefined
  /** The command that tells the instance of it. Pure. */
  readonly toCommand: (event: E, recorded: RecordedEvent, id: string) => C
}

/** A command for an instance. */
interface Order<out C> {
  readonly id: string
  readonly command: C
}

/** An event that is an input of a saga with the commands `C`. */
export interface Input<out C> {
  /** The category of the event's streams. */
  readonly category: string
  /** The event's name. */
  readonly event: string
  /** What it asks of whom. */
  readonly ordersOf: (recorded: RecordedEvent) => Result.Result<ReadonlyArray<Order<C>>, DecodeError>
}

/**
 * Makes an event an input. The functions get it in its current shape, and as it was recorded.
 *
 * @example
 * ```ts
 * import * as Action from "@composable-ts/core/Action"
 * import * as Event from "@composable-ts/core/Event"
 * import * as Saga from "@composable-ts/projections/Saga"
 * import * as Schema from "effect/Schema"
 *
 * const Order = Action.define("Order", { commands: {}, events: { Placed: Event.v1({ cents: Schema.Int }) } })
 * const Checkout = Action.define("Checkout", { commands: { Begin: { cents: Schema.Int } }, events: {} })
 *
 * const placed = Saga.on({ category: "order", actions: Order }, "Placed", {
 *   correlate: (_event, { streamId }) => streamId,
 *   toCommand: ({ cents }) => Checkout.Begin({ cents })
 * })
 *
 * placed.event // => "Placed"
 * ```
 */
export const on = <V extends Action.AnyVocabulary, const Name extends Action.EventOf<V>["_tag"], C extends Tag>(
  source: Source<V>,
  event: Name,
  rule: Rule<Extract<Action.EventOf<V>, { readonly _tag: Name }>, C>
): Input<C> => ({
  category: source.category,
  event,
  ordersOf: (recorded) =>
    Result.map(source.actions.decode(recorded), (decoded) => {
      const ids = rule.correlate(decoded, recorded) ?? []
      return [...new Set(typeof ids === "string" ? [ids] : ids)].map((id) => ({
        id,
        command: rule.toCommand(decoded, recorded, id)
      }))
    })
})

/** What every saga declares. */
export interface Declaration<C, EventName> {
  /** At most 64 characters. Default: the aggregate's category. Under another name it is another saga. */
  readonly name?: string | undefined
  /** Its inputs: each event once. */
  readonly inputs: NonEmptyReadonlyArray<Input<C>>
  /** The events with which an instance ends, for `SagaStatus`. Default: it never does. */
  readonly ends?: ReadonlyArray<EventName> | undefined
  /**
   * Into how many parts the instances are divided, each worked on by one process at a time, all at once. Each part reads
   * all inputs and picks those of its own instances, so an instance gets its inputs in order of position, from whatever
   * streams they come. Cannot be changed once the saga has run. Default 1.
   */
  readonly partitions?: number | undefined
  /** Where to begin when it is run for the first time. Default: with the first event of the log. */
  readonly startFrom?: Start.Start | undefined
  /**
   * What becomes of an input that the aggregate refuses. `record`: it is written down for `SagaStatus` and the saga goes
   * on, the default; `stop`: the saga stops before it.
   */
  readonly refused?: "record" | "stop" | undefined
  /** How many instances handle inputs at the same time, in each part; their appends share commits. Default 64. */
  readonly concurrency?: number | undefined
}

/** What {@link run} takes: any saga; `N` what it needs. */
export interface Runnable<out N> {
  readonly name: string
  /** How it follows the log, in this process. */
  readonly subscription: Effect.Effect<Subscription.Subscription<SqlClient.SqlClient>, never, N>
}

/** A saga: the aggregate, and its inputs. */
export interface Saga<S, C extends Tag, E extends Tag, R, out N = never>
  extends Runnable<AggregateStore.DurableNeeds<N>>
{
  readonly name: string
  readonly aggregate: Aggregate<S, C, E, R, N>
  readonly durable: DurableAggregate<S, C, E, R, N>
  readonly inputs: NonEmptyReadonlyArray<Input<C>>
  readonly ends: ReadonlyArray<E["_tag"]>
  readonly partitions: number
  readonly startFrom: Start.Start
  readonly refused: "record" | "stop"
  readonly concurrency: number
}

/**
 * Defines a saga: an aggregate and the events of others that are its inputs. Throws a `TypeError` when two inputs are of
 * one event: it may ask for several instances, but what it asks of each is one command.
 */
export const define = <S, C extends Tag, E extends Tag, R, N>(
  durable: DurableAggregate<S, C, E, R, N>,
  declaration: Declaration<NoInfer<C>, NoInfer<E>["_tag"]>
): Saga<S, C, E, R, N> => {
  const { aggregate } = durable
  const { concurrency = 64, ends = [], inputs, name = aggregate.category, partitions = 1 } = declaration
  const { refused = "record", startFrom = Start.beginning } = declaration
  const keys = inputs.map(({ category, event }) => `${event} of ${category}`)
  const double = keys.find((key, i) => keys.indexOf(key) < i)
  if (double !== undefined) throw new TypeError(`Saga ${name} has two inputs for ${double}: let one ask for both`)
  if (name.length === 0 || name.length > maxName) {
    throw new TypeError(`A saga's name has 1 to ${maxName} characters, and ${JSON.stringify(name)} has not`)
  }
  const saga: Saga<S, C, E, R, N> = {
    name,
    aggregate,
    durable,
    inputs,
    ends,
    partitions,
    startFrom,
    refused,
    concurrency,
    subscription: Effect.suspend(() => subscriptionOf(saga))
  }
  return saga
}

const maxName = 64

/** An input that the aggregate refused. It had no effect. */
export interface Refused {
  /** The event. */
  readonly recorded: RecordedEvent
  /** The instance that refused it. */
  readonly instance: string
  /** The tag of the command. */
  readonly command: string
  /** Why; or that the instance was erased. */
  readonly reason: unknown
}

/** Why inputs cannot be handed over. */
export type ReceiveError = DecodeError | AggregateStore.DispatchError

/** Hands events over to the instances of a saga; `E` and `N` are those of what is done with refused inputs. */
export interface Receiver<out E = never, out N = never> {
  /**
   * Hands over some events, in order of global position: different instances at the same time, each instance's in
   * order. Events that are no inputs are passed over. It may be given events again, also earlier ones: each takes effect
   * once. While the event store is away it waits.
   */
  readonly receive: (
    events: ReadonlyArray<RecordedEvent>,
    part?: Pick<Lease.Part, "partition">
  ) => Effect.Effect<void, ReceiveError | E, N>
  /** Hands an event once more to an instance that has refused it, behind what that has handled since. */
  readonly again: (recorded: RecordedEvent, instance: string) => Effect.Effect<Again, ReceiveError>
}

/**
 * What came of an input that was handed over again.
 *
 * - `taken`: the instance has taken it, now or before.
 * - `nothing`: nothing is asked of the instance any more: the event was erased, or the saga asks for something else.
 * - `refused`: it was refused once more, and the reason is as for {@link Refused}.
 */
export type Again = { readonly outcome: "taken" | "nothing" } | {
  readonly outcome: "refused"
  readonly reason: unknown
}

/** What to do with an input that was refused, before the instance gets its next one. It may come again. */
export type OnRefused<E, N> = (refused: Refused) => Effect.Effect<unknown, E, N>

const received = Metric.counter("composable_saga_inputs", {
  description: "Inputs of sagas that were handed over, by saga and by what came of it",
  incremental: true
})

/** A conflict only says that the instance has moved on, so it is no reason to stop. */
const conflictSchedule = Schedule.min([Schedule.exponential("1 millis"), Schedule.spaced("200 millis")]).pipe(
  Schedule.jittered
)

const passing = Schedule.min([Schedule.exponential("50 millis"), Schedule.spaced("1 second")])

/** Whether the same append may succeed later, with nothing changed. */
const passes = (error: unknown): boolean =>
  error instanceof Overloaded || (error instanceof EventStoreError && error.retryable)

/**
 * The id of the command by which an input reaches an instance: the same at every delivery. A long instance id is cut and
 * told by a hash; should two meet nevertheless, the event store refuses the second visibly.
 */
export const commandId = (
  saga: Pick<Saga<never, Tag, Tag, never>, "name">,
  eventId: string,
  instance: string
): string =>
  `${eventId}/${saga.name}/${
    instance.length <= 128 ? instance : `${instance.slice(0, 96)}~${hash(instance)}~${hash(instance, 0x9e3779b9)}`
  }`

/** An input on its way to an instance. */
interface Delivery<out C> extends Order<C> {
  readonly recorded: RecordedEvent
}

/**
 * What hands events over to a saga's instances, without following the log: for tests, and for events that come in
 * another way. It stores under the same streams as any store of the aggregate, here or elsewhere.
 */
export const make = <S, C extends Tag, E extends Tag, R, N, RefusedError = never, RefusedNeeds = never>(
  saga: Saga<S, C, E, R, N>,
  onRefused: OnRefused<RefusedError, RefusedNeeds>
): Effect.Effect<Receiver<RefusedError, RefusedNeeds>, never, AggregateStore.DurableNeeds<N>> =>
  Effect.gen(function*() {
    const { aggregate, concurrency, inputs, name, partitions } = saga
    const underWay = new Map<string, Tracked.Input>()
    const tracked = { ...saga.durable, aggregate: Tracked.of(aggregate, underWay) }
    const store = yield* AggregateStore.makeDurable(tracked, { conflictSchedule })
    const known = new Map(inputs.map((input) => [`${input.category} ${input.event}`, input]))
    const count = (what: string) => Metric.update(Metric.withAttributes(received, { saga: name, outcome: what }), 1)

    const inputOf = ({ streamId, type }: RecordedEvent): Input<C> | undefined =>
      known.get(`${streamId.slice(0, streamId.indexOf("-"))} ${type.slice(0, type.indexOf("."))}`)

    /** What is asked of the instances of a part, by instance. */
    const sorted = (events: ReadonlyArray<RecordedEvent>, partition: number | undefined) =>
      Effect.gen(function*() {
        const instances = new Map<string, Array<Delivery<C>>>()
        for (const recorded of events) {
          const input = recorded.erased === true ? undefined : inputOf(recorded)
          if (input === undefined) continue
          for (const order of yield* Effect.fromResult(input.ordersOf(recorded))) {
            if (partition !== undefined && !isIn(order.id, partition, partitions)) continue
            const deliveries = instances.get(order.id) ?? []
            instances.set(order.id, deliveries)
            deliveries.push({ ...order, recorded })
          }
        }
        return instances
      })

    const dispatch = ({ command, id: instance, recorded }: Delivery<C>, turn: Tracked.Input["turn"]) => {
      const input: Tracked.Input = { saga: name, position: recorded.globalPosition, turn }
      const id = commandId(saga, recorded.eventId, instance)
      return Effect.suspend(() => {
        underWay.set(id, input)
        return store.dispatch(instance, command, {
          commandId: id,
          // What the event asks for may be said otherwise by a newer program: it is still the same input.
          fingerprint: id,
          correlationId: recorded.correlationId,
          causationId: recorded.eventId,
          metadata: Tracked.metadataOf(input)
        })
      }).pipe(
        Effect.tapError((error) =>
          passes(error) ? Effect.logWarning(`Saga ${name}: an input waits for the event store`, error) : Effect.void
        ),
        Effect.retry({ schedule: passing, while: passes }),
        // Unless it is under way once more: handed over twice at the same time, one waits for the other.
        Effect.ensuring(Effect.sync(() => {
          if (underWay.get(id) === input) underWay.delete(id)
        })),
        Effect.tap(({ duplicate, events }) =>
          count(duplicate ? "duplicate" : events.length === 0 ? "nothing" : "events")
        ),
        Effect.as<Again>({ outcome: "taken" }),
        Effect.catchIf(isRefusal, ({ reason }) => Effect.succeed<Again>({ outcome: "refused", reason })),
        Effect.catchIf(
          (error) => error instanceof StreamTombstoned && error.streamId === `${aggregate.category}-${instance}`,
          (reason) => Effect.succeed<Again>({ outcome: "refused", reason })
        ),
        Effect.tap(({ outcome }) => outcome === "refused" ? count("refused") : Effect.void),
        inSpan(saga.name, instance, recorded)
      )
    }

    const deliver = (delivery: Delivery<C>) =>
      Effect.flatMap(dispatch(delivery, "own"), (given) => {
        if (given.outcome !== "refused") return Effect.void
        const { command: { _tag: command }, id: instance, recorded } = delivery
        return onRefused({ recorded, instance, command, reason: given.reason })
      })

    const again: Receiver["again"] = (recorded, instance) =>
      Effect.gen(function*() {
        const [delivery] = (yield* sorted([recorded], undefined)).get(instance) ?? []
        return delivery === undefined ? { outcome: "nothing" } : yield* dispatch(delivery, "late")
      })

    return {
      again,
      receive: (events, part) =>
        Effect.gen(function*() {
          const instances = yield* sorted(events, part?.partition)
          yield* Effect.forEach(
            instances.values(),
            (deliveries) => Effect.forEach(deliveries, deliver, { discard: true }),
            { concurrency, discard: true }
          )
        })
    }
  })

const isRefusal = (error: unknown): error is Tracked.InputRefused => error instanceof Tracked.InputRefused

/** A span of the trace in which the event was caused, so that one trace shows a whole saga; unless nobody traces. */
const inSpan =
  (saga: string, instance: string, { eventId, globalPosition, metadata, type }: RecordedEvent) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.contextWith((context: Context.Context<never>) =>
      TraceContext.isTraced(context)
        ? Effect.withSpan(effect, "Saga.receive", {
          kind: "consumer",
          parent: TraceContext.parse(metadata[TraceContext.field]),
          attributes: {
            "composable.saga": saga,
            "composable.instance": instance,
            "composable.event": type,
            "composable.event_id": eventId,
            "composable.position": String(globalPosition)
          }
        })
        : effect
    )

/** The subscriber by which a saga follows the log: what `Status` and `Consistency` know it by. */
export const subscriber = ({ name }: { readonly name: string }): Lease.Subscriber => ({
  name: `${sagaPrefix}${name}`,
  version: 1
})

/** The aggregate refused what an input asked for, and the saga is to stop then. */
export class InputRefused extends Schema.TaggedError<InputRefused>()("InputRefused", {
  saga: Schema.String,
  instance: Schema.String,
  /** The global position of the event. */
  position: Schema.BigInt,
  /** The tag of the command. */
  command: Schema.String,
  reason: Schema.Unknown
}) {
  override get message(): string {
    return `Saga ${this.saga}: ${JSON.stringify(this.instance)} refused ${this.command}, which the event at global ` +
      `position ${this.position} asks for: ${
        Formatter.format(this.reason)
      }. Accept the command in that state, if only ` +
      `with Fx.none, or declare refused: "record" to go on without`
  }
}

const stop = (saga: string): OnRefused<InputRefused | SqlError, SqlClient.SqlClient> => (refused) => {
  const { command, instance, reason, recorded: { globalPosition: position } } = refused
  // Nobody can make an erased instance take it, so nobody shall have to.
  if (reason instanceof StreamTombstoned) return Refusals.record(saga)(refused)
  return Effect.fail(new InputRefused({ saga, instance, position, command, reason }))
}

/** Whether an instance belongs to a part of so many. */
const isIn = (instance: string, partition: number, partitions: number): boolean =>
  hash(instance) % partitions === partition

/**
 * How a saga follows the log: its inputs, to hand them over, and its own events, to know its instances by them. What
 * is handed over takes effect in the log, so that comes ahead of the transaction.
 */
const subscriptionOf = <S, C extends Tag, E extends Tag, R, N>(
  saga: Saga<S, C, E, R, N>
): Effect.Effect<Subscription.Subscription<SqlClient.SqlClient>, never, AggregateStore.DurableNeeds<N>> => {
  const { aggregate: { actions, category }, ends, inputs, name, partitions, startFrom } = saga
  const onRefused = saga.refused === "stop" ? stop(name) : Refusals.record(name)
  const own = Object.keys(actions.declaration.events)
  return Effect.map(make(saga, onRefused), ({ receive }) => ({
    ...subscriber(saga),
    events: [...new Set([...inputs.map(({ event }) => event), ...own, Tombstone.type])],
    partitions,
    startFrom,
    setUp: Effect.void,
    reads: "everything",
    retry: Poison.never,
    poison: Poison.stop,
    deliver: (events, _, part) => handing(receive, events, part),
    apply: (events, { partition }) =>
      SagaInstances.apply({ name, category, ends, isOwn: (id) => isIn(id, partition, partitions) }, events)
  }))
}

/** Hands over all at once, and when that fails one after the other, so that the one which fails is known. */
const handing = <E, R>(
  receive: Receiver<E, R>["receive"],
  events: NonEmptyReadonlyArray<RecordedEvent>,
  part: Lease.Part
): Effect.Effect<Subscription.Delivered, never, R> =>
  Effect.matchCauseEffect(receive(events, part), {
    onSuccess: () => Effect.succeed({ done: events.length, failure: Option.none() }),
    onFailure: (cause) =>
      Effect.gen(function*() {
        if (events.length === 1) return { done: 0, failure: Option.some(Cause.squash(cause)) }
        for (const [done, event] of events.entries()) {
          const failed = yield* Effect.matchCause(receive([event], part), {
            onSuccess: () => undefined,
            onFailure: Cause.squash
          })
          if (failed !== undefined) return { done, failure: Option.some(failed) }
        }
        return { done: events.length, failure: Option.none() }
      })
  })

/** What sagas need. */
export type NeedsOf<S> = S extends Runnable<infer N> ? N : never

/**
 * Keeps sagas going for as long as the fiber runs: hands over what is there, then is woken by appends. Any number of
 * processes may run the same sagas; they share the work, as those that run projections do, see `Subscription`. What the
 * sagas want done is carried out by whoever runs their effects, see `EffectWorker`; that may be other processes.
 *
 * A saga stops in this process, with `ProjectionFailed`, when an input cannot be handed over: it does not decode, or
 * the aggregate throws. Its checkpoint then stands right before it. Others go on.
 *
 * The `PgClient` is the database of the checkpoints, which may be the log's; see `Projection.run` on its connections.
 */
export const run = <const Sagas extends NonEmptyReadonlyArray<Runnable<unknown>>>(
  ...sagas: Sagas
): Effect.Effect<never, Subscription.Stopped, NeedsOf<Sagas[number]> | Subscription.Requirements> =>
  needing(Effect.gen(function*() {
    const [first, ...others] = sagas
    return yield* Subscription.run(
      yield* first.subscription,
      ...(yield* Effect.forEach(others, ({ subscription }) => subscription))
    )
  }))

/**
 * Hands over the inputs that the log holds now, together with whoever else runs the saga, and returns the position up to
 * which that is done. What the saga wants done is not carried out by that.
 */
export const catchUp = <N>(
  saga: Runnable<N>
): Effect.Effect<bigint, Subscription.Stopped, N | Subscription.Requirements> =>
  needing(Effect.flatMap(saga.subscription, Subscription.catchUp))

/** What is not known of the sagas' needs is the caller's. */
const needing = <A, R>(effect: Effect.Effect<A, Subscription.Stopped, unknown>) =>
  effect as Effect.Effect<A, Subscription.Stopped, R>
