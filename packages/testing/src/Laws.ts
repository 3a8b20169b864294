/**
 * Laws that hold for every aggregate, whatever its rules: apply each to yours in a line. Commands, events and histories
 * are generated from the schemas of the vocabulary; what breaks a law is shrunk to a small counterexample.
 */
import type { Meta, Vocabulary } from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import type { EventStore } from "@composable-ts/core/EventStore"
import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
import type { RecordedEvent } from "@composable-ts/core/RecordedEvent"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Formatter from "effect/Formatter"
import type * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { tick } from "./internal/clock.ts"
import { differences, equal } from "./internal/differences.ts"
import { frozen } from "./internal/frozen.ts"
import * as generated from "./internal/generated.ts"
import { race, type Raced } from "./internal/race.ts"
import { type Found, type Search, search, searchSync } from "./internal/search.ts"
import { printer } from "./internal/sourceCode.ts"

type Tag = { readonly _tag: string }

/** From what, and how long, to look for a counterexample. `runs` is 100 unless given. */
export interface Options<A extends Tag> extends Search {
  /**
   * Where values come from when those of the schemas will not do: an arbitrary for a command or event by its name, or for
   * the payload of an older version by its stored name, `OrderPlaced.v1`.
   */
  readonly arbitraries?: generated.Arbitraries<A>
}

/** A law does not hold. */
export class LawBroken extends Error {
  override readonly name = "LawBroken"
  readonly law: string
  /** What the law does not hold for, the smallest found. */
  readonly counterexample: unknown
  readonly seed: string | number

  constructor(law: string, flaw: string, found: Found<unknown, unknown>, code: string) {
    super(
      `${law} does not hold: ${flaw}\n\nThe smallest counterexample found (seed ${
        JSON.stringify(found.seed)
      }, run ${found.runs}):\n\n${code}`
    )
    this.law = law
    this.counterexample = found.input
    this.seed = found.seed
  }
}

/** How long a history is at the most, and the texts and collections in it, roughly. */
const longest = 20

/** How long the texts and collections of a single action are, roughly. */
const size = 10

const given = <A extends Tag>({ arbitraries }: Options<A>): generated.Given => arbitraries as generated.Given ?? {}

/** Throws when the search has found something; the trace starts at the law, where the reader has to look. */
const settle = <A, F extends string>(
  law: (...input: ReadonlyArray<never>) => unknown,
  found: Found<A, F> | undefined,
  code: (input: A) => string
): void => {
  if (found === undefined) return
  const broken = new LawBroken(law.name, found.flaw, found, code(found.input))
  Error.captureStackTrace(broken, law)
  throw broken
}

const thrown = (what: string, error: unknown): string =>
  error instanceof TypeError && /read only|not extensible|Cannot (delete|define|add) property/.test(error.message)
    ? `${what} changes what it is given: ${error.message}`
    : `${what} threw ${error instanceof Error ? String(error) : Formatter.format(error)}`

const impure = (what: string, first: unknown, again: unknown): string =>
  `${what} came to something else the second time: ${differences(first, again).join("; ")}`

/**
 * Replaying a history always leads to the same state: `evolve` is pure, and total over the events of the vocabulary, in
 * whatever order they come. It neither throws nor changes the state or the event that it is given.
 *
 * @example
 * ```ts
 * import * as Action from "@composable-ts/core/Action"
 * import * as Aggregate from "@composable-ts/core/Aggregate"
 * import * as Event from "@composable-ts/core/Event"
 * import * as Fx from "@composable-ts/core/Fx"
 * import * as Laws from "@composable-ts/testing/Laws"
 * import * as Schema from "effect/Schema"
 *
 * const Meter = Action.define("Meter", {
 *   commands: { Read: { kWh: Schema.Int } },
 *   events: { MeterRead: Event.v1({ kWh: Schema.Int }) }
 * })
 *
 * const meter = Aggregate.define(Meter, {
 *   initial: { kWh: 0 },
 *   decide: (state, { kWh }) => kWh < state.kWh ? Fx.reject({ _tag: "RunsBackwards" }) : Fx.append(Meter.MeterRead({ kWh })),
 *   evolve: (_state, { kWh }) => ({ kWh })
 * })
 *
 * Laws.replayIsDeterministic(meter)
 * Laws.decideIsPure(meter)
 * Laws.decodeEncodeRoundTrips(Meter)
 * Laws.upcastersTotal(Meter)
 * ```
 */
export const replayIsDeterministic = <S, C extends Tag, E extends Tag, R, N>(
  { actions, evolve, initial }: Aggregate.Aggregate<S, C, E, R, N>,
  options: Options<E> = {}
): void => {
  const events = generated.events(actions, given(options))
  if (events === undefined) return
  const found = searchSync(
    Arbitrary.array(events, { maxLength: longest }),
    (history) => {
      let doing = "evolve"
      const replay = (): S =>
        history.reduce((state, event, index) => {
          doing = `evolve of event ${index + 1}, ${event._tag},`
          return frozen(evolve(state, frozen(event)))
        }, frozen(initial))
      try {
        const first = replay()
        tick()
        const again = replay()
        return equal(first, again) ? undefined : impure("the replay", first, again)
      } catch (error) {
        return thrown(doing, error)
      }
    },
    options,
    longest
  )
  settle(replayIsDeterministic, found, printer(actions))
}

/**
 * A command decided again on the same state comes to the same: `decide` and `react` are pure, and total over the commands
 * of the vocabulary on every state that commands lead to. They neither throw, nor read a clock, nor change what they are
 * given. See {@link replayIsDeterministic} for an example.
 */
export const decideIsPure = <S, C extends Tag, E extends Tag, R, N>(
  aggregate: Aggregate.Aggregate<S, C, E, R, N>,
  options: Options<C> = {}
): void => {
  const { actions, initial } = aggregate
  const commands = generated.commands(actions, given(options))
  if (commands === undefined) return
  const found = searchSync(
    Arbitrary.array(commands, { maxLength: longest }),
    (history) => {
      let doing = "decide"
      try {
        const steps: Array<readonly [state: S, command: C, meta: Meta, step: Aggregate.Step<S, E, R>]> = []
        let state = frozen(initial)
        for (const [index, command] of frozen(history).entries()) {
          doing = `the step of command ${index + 1}, ${command._tag},`
          const id = `command-${index + 1}`
          const meta = frozen({ id, time: 0, correlationId: id, causationId: id })
          const step = frozen(Aggregate.step(aggregate, state, command, meta))
          steps.push([state, command, meta, step])
          state = step.state
        }
        tick()
        for (const [state, command, meta, first] of steps) {
          doing = `the step of ${command._tag}`
          const again = Aggregate.step(aggregate, state, command, meta)
          if (!equal(first, again)) return impure(doing, first, again)
        }
        return undefined
      } catch (error) {
        return thrown(doing, error)
      }
    },
    options,
    longest
  )
  settle(decideIsPure, found, printer(actions))
}

/** A value as JSON text, and back. */
const throughText = (json: unknown): unknown => JSON.parse(JSON.stringify(json))

const recordedAs = (type: string, data: Schema.Json): RecordedEvent => ({
  streamId: "laws-1",
  version: 0,
  globalPosition: 1n,
  type,
  data,
  eventId: "event",
  commandId: "command",
  correlationId: "command",
  causationId: "command",
  recordedAt: 0,
  metadata: {}
})

const eventFlaw = <C extends Tag, E extends Tag>(vocabulary: Vocabulary<C, E>, event: E): string | undefined => {
  const encoded = vocabulary.encode(event)
  if (Result.isFailure(encoded)) return `${event._tag} cannot be stored. ${encoded.failure.message}`
  const { data, type } = encoded.success
  const decoded = vocabulary.decode(recordedAs(type, throughText(data) as Schema.Json))
  if (Result.isFailure(decoded)) return `what ${event._tag} is stored as cannot be read. ${decoded.failure.message}`
  return equal(event, decoded.success)
    ? undefined
    : `${event._tag} comes back as another: ${differences(event, decoded.success).join("; ")}`
}

const commandFlaw = <C extends Tag, E extends Tag>({ Command }: Vocabulary<C, E>, command: C): string | undefined => {
  const encoded = Schema.encodeUnknownResult(Command)(command)
  if (Result.isFailure(encoded)) return `${command._tag} cannot be encoded. ${encoded.failure.message}`
  const decoded = Schema.decodeUnknownResult(Command)(throughText(encoded.success))
  if (Result.isFailure(decoded)) return `what ${command._tag} is encoded as does not decode. ${decoded.failure.message}`
  return equal(command, decoded.success)
    ? undefined
    : `${command._tag} comes back as another: ${differences(command, decoded.success).join("; ")}`
}

/**
 * Every command and event that fits its schema survives being written as JSON text and read again. See
 * {@link replayIsDeterministic} for an example.
 *
 * A schema that admits values which its encoding refuses breaks this law, too: such a value is only found out when it is
 * to be stored.
 */
export const decodeEncodeRoundTrips = <C extends Tag, E extends Tag>(
  vocabulary: Vocabulary<C, E>,
  options: Options<C | E> = {}
): void => {
  const print = printer(vocabulary)
  const attempt = <A extends Tag>(
    actions: Arbitrary.Arbitrary<A> | undefined,
    flawOf: (action: A) => string | undefined
  ) => {
    if (actions === undefined) return
    const found = searchSync(
      actions,
      (action) => {
        try {
          return flawOf(action)
        } catch (error) {
          return thrown(`the codec of ${action._tag}`, error)
        }
      },
      options,
      size
    )
    settle(decodeEncodeRoundTrips, found, print)
  }
  attempt(generated.events(vocabulary, given(options)), (event: E) => eventFlaw(vocabulary, event))
  attempt(generated.commands(vocabulary, given(options)), (command: C) => commandFlaw(vocabulary, command))
}

/**
 * Whatever an older version of an event may hold can still be read: its upcasters never throw, and lead to an event that
 * could be stored in the current version. See {@link replayIsDeterministic} for an example.
 */
export const upcastersTotal = <C extends Tag, E extends Tag>(
  vocabulary: Vocabulary<C, E>,
  options: Options<E> = {}
): void => {
  const older = generated.olderPayloads(vocabulary, given(options))
  if (older === undefined) return
  const found = searchSync(
    older,
    ({ payload, schema, type }) => {
      const encoded = Schema.encodeUnknownResult(schema)(payload)
      if (Result.isFailure(encoded)) return `no ${type} can have been stored like this. ${encoded.failure.message}`
      const decoded = vocabulary.decode(recordedAs(type, throughText(encoded.success) as Schema.Json))
      if (Result.isFailure(decoded)) return decoded.failure.message
      const flaw = eventFlaw(vocabulary, decoded.success)
      return flaw === undefined ? undefined : `${type} becomes no valid ${decoded.success._tag}: ${flaw}`
    },
    options,
    size
  )
  const print = printer(vocabulary)
  settle(upcastersTotal, found, ({ payload, type }) => `${type} with the payload ${print(payload)}`)
}

/** Where to try concurrency, besides {@link Options}. `runs` is 25 unless given. */
export interface ConcurrencyOptions<C extends Tag, LE, LR> extends Options<C> {
  /** The event store. Default: one in memory. Each run uses a stream of its own, which it leaves behind. */
  readonly over?: Layer.Layer<EventStore, LE, LR>
}

/**
 * Commands that are dispatched at the same time, by several stores over one log as by several processes, come to what they
 * would come to one after the other, in the order of the log: the same events, states and refusals, dense versions, no
 * lost update, nothing stored twice. What the commands have done besides is left undone, so no handlers are needed.
 *
 * @example
 * ```ts
 * import * as Action from "@composable-ts/core/Action"
 * import * as Aggregate from "@composable-ts/core/Aggregate"
 * import * as Event from "@composable-ts/core/Event"
 * import * as Fx from "@composable-ts/core/Fx"
 * import * as Laws from "@composable-ts/testing/Laws"
 * import * as Effect from "effect/Effect"
 *
 * const Seat = Action.define("Seat", { commands: { Take: {} }, events: { Taken: Event.v1({}) } })
 *
 * const seat = Aggregate.define(Seat, {
 *   initial: { taken: false },
 *   decide: (state) => state.taken ? Fx.reject({ _tag: "AlreadyTaken" }) : Fx.append(Seat.Taken()),
 *   evolve: () => ({ taken: true })
 * })
 *
 * await Effect.runPromise(Laws.serialEqualsConcurrent(seat))
 * ```
 */
export const serialEqualsConcurrent = <S, C extends Tag, E extends Tag, R, N, LE = never, LR = never>(
  aggregate: Aggregate.Aggregate<S, C, E, R, N>,
  options: ConcurrencyOptions<C, LE, LR> = {}
): Effect.Effect<void, LawBroken | LE, LR> =>
  Effect.suspend(() => {
    const { actions } = aggregate
    const commands = generated.commands(actions, given(options))
    if (commands === undefined) return Effect.void
    const print = printer(actions)
    const searching = search<Raced<C>, string, EventStore>(
      Arbitrary.array(
        Arbitrary.all({ command: commands, pause: Arbitrary.schema(Schema.Literals([0, 1, 2, 3, 5, 8])) }),
        { minLength: 1, maxLength: longest }
      ),
      (raced) => race(aggregate, raced),
      { ...options, runs: options.runs ?? 25 },
      longest
    )
    const checked = Effect.flatMap(searching, (found) =>
      Effect.try({
        try: () => settle(serialEqualsConcurrent, found, (raced) => print(raced.map(({ command }) => command))),
        catch: (error) => error as LawBroken
      }))
    return Effect.provide(checked, options.over ?? (MemoryEventStore.layer as Layer.Layer<EventStore, LE, LR>))
  })
