/**
 * Tests of an aggregate by what must always be true: histories of commands are generated from the schemas, and each
 * invariant is checked after every command. What breaks one is shrunk to a short history and printed as a test.
 */
import type { Meta } from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import type * as Fx from "@composable-ts/core/Fx"
import * as Arbitrary from "effect/Arbitrary"
import * as Result from "effect/Result"
import { equal } from "./internal/differences.ts"
import { frozen } from "./internal/frozen.ts"
import * as generated from "./internal/generated.ts"
import { type Search, searchSync } from "./internal/search.ts"
import { indented, literalOf, printer } from "./internal/sourceCode.ts"

type Tag = { readonly _tag: string }

/** What a command came to. */
export interface Taken<out S, out C, out E, out R> {
  readonly command: C
  readonly meta: Meta
  /** The state that the command was decided on. */
  readonly before: S
  /** The state after it; the same when it was refused. */
  readonly state: S
  readonly events: ReadonlyArray<E>
  /** What else was to be done. */
  readonly effects: Fx.AnyFx
  /** Why the command was refused; nothing when it was accepted. */
  readonly refusal: Fx.Reject<R> | undefined
}

/** What must be true of the state after every command. `taken` is what the command came to. */
export type Invariant<S, C, E, R> = (state: S, taken: Taken<S, C, E, R>) => boolean

/** What to check, and what to try. `runs` counts histories, 300 unless given. */
export interface Model<S, C extends Tag, E, R> extends Search {
  /** What must always be true, in words. An invariant is broken when it returns false, or throws. */
  readonly invariants: Readonly<Record<string, Invariant<S, C, E, R>>>
  /**
   * Where commands come from when those of the schemas would seldom be accepted, by name. Few different ids and amounts
   * reach more states than many.
   */
  readonly arbitraries?: generated.Arbitraries<C>
  /** How many milliseconds pass before each command. Default: none, so all happens at time 0. */
  readonly pauses?: Arbitrary.Arbitrary<number>
  /** How many commands a history has at the most. Default 20. */
  readonly longest?: number
  /** The commands that no history gets accepted. Default: none; each is accepted at least once. */
  readonly neverAccepted?: ReadonlyArray<NoInfer<C>["_tag"]>
}

/** How often each command was accepted, and refused. */
export type Coverage<Name extends string> = Readonly<
  Record<Name, { readonly accepted: number; readonly refused: number }>
>

/** An invariant does not hold. */
export class InvariantBroken extends Error {
  override readonly name = "InvariantBroken"
  readonly invariant: string
  /** The shortest history of commands found that breaks it. */
  readonly history: ReadonlyArray<unknown>
  readonly seed: string | number
  /** A test of the last command behind the events of the others, as code. */
  readonly test: string

  constructor(invariant: string, message: string, broken: Pick<InvariantBroken, "history" | "seed" | "test">) {
    super(message)
    this.invariant = invariant
    this.history = broken.history
    this.seed = broken.seed
    this.test = broken.test
  }
}

/** The histories tried show too little to rely on: some command was never accepted. */
export class NeverAccepted extends Error {
  override readonly name = "NeverAccepted"
}

/** A command of a history, and how long after the one before it comes. */
interface Timed<C> {
  readonly command: C
  readonly pause: number
}

/** An invariant that a history breaks with its last command. */
interface Breach<S, C, E, R> {
  readonly invariant: string
  readonly how: string
  /** What came before. */
  readonly past: ReadonlyArray<E>
  readonly taken: Pick<Taken<S, C, E, R>, "before" | "command" | "meta">
}

const always = {
  total: "decides every command, and evolves behind every event, without throwing",
  storable: "decides only events that can be stored as declared"
}

/**
 * Checks the invariants of an aggregate after every command of generated histories. Throws {@link InvariantBroken} with
 * the shortest history found, printed as a test. Besides the given invariants, no command may make the aggregate throw, or
 * decide an event that could not be stored. A command that was never accepted was never tested: then it throws
 * {@link NeverAccepted}.
 *
 * @example
 * ```ts
 * import * as Action from "@composable-ts/core/Action"
 * import * as Aggregate from "@composable-ts/core/Aggregate"
 * import * as Event from "@composable-ts/core/Event"
 * import * as Fx from "@composable-ts/core/Fx"
 * import * as ModelTest from "@composable-ts/testing/ModelTest"
 * import * as Schema from "effect/Schema"
 *
 * const Purse = Action.define("Purse", {
 *   commands: { Put: { coins: Schema.Int }, Take: { coins: Schema.Int } },
 *   events: { Changed: Event.v1({ coins: Schema.Int }) }
 * })
 *
 * const purse = Aggregate.define(Purse, {
 *   initial: { coins: 0 },
 *   decide: (state, { _tag, coins }) =>
 *     coins <= 0 || (_tag === "Take" && coins > state.coins)
 *       ? Fx.reject({ _tag: "Impossible" })
 *       : Fx.append(Purse.Changed({ coins: _tag === "Put" ? state.coins + coins : state.coins - coins })),
 *   evolve: (_state, { coins }) => ({ coins })
 * })
 *
 * ModelTest.check(purse, {
 *   invariants: {
 *     "a purse never holds less than nothing": (state) => state.coins >= 0,
 *     "a refusal changes nothing": (state, { before, refusal }) => refusal === undefined || state === before
 *   }
 * })
 * ```
 */
export const check = <S, C extends Tag, E extends Tag, R, N>(
  aggregate: Aggregate.Aggregate<S, C, E, R, N>,
  model: Model<NoInfer<S>, C, NoInfer<E>, NoInfer<R>>
): Coverage<C["_tag"]> => {
  const { actions } = aggregate
  const commands = generated.commands(actions, model.arbitraries as generated.Given ?? {})
  const coverage: Record<string, { accepted: number; refused: number }> = {}
  for (const name of Object.keys(actions.declaration.commands)) coverage[name] = { accepted: 0, refused: 0 }
  if (commands !== undefined) {
    const longest = model.longest ?? 20
    const timed = Arbitrary.all({ command: commands, pause: model.pauses ?? Arbitrary.Constant(0) })
    const found = searchSync(
      Arbitrary.array(timed, { maxLength: longest }),
      (history) => breachOf(aggregate, model.invariants, history, coverage),
      { ...model, runs: model.runs ?? 300 },
      longest
    )
    if (found !== undefined) throw traced(brokenBy(aggregate, found.flaw, found), check)
    const idle = neverAccepted(coverage, model.neverAccepted ?? [])
    if (idle !== undefined) throw traced(new NeverAccepted(idle), check)
  }
  return coverage as Coverage<C["_tag"]>
}

/** The trace starts at the test, so that a runner points at the line to look at. */
const traced = <A extends Error>(error: A, from: typeof check): A => {
  Error.captureStackTrace(error, from)
  return error
}

const metaOf = (index: number, time: number): Meta => {
  const id = `command-${index + 1}`
  return frozen({ id, time, correlationId: id, causationId: id })
}

const breachOf = <S, C extends Tag, E extends Tag, R, N>(
  aggregate: Aggregate.Aggregate<S, C, E, R, N>,
  invariants: Model<S, C, E, R>["invariants"],
  history: ReadonlyArray<Timed<C>>,
  coverage: Record<string, { accepted: number; refused: number }>
): Breach<S, C, E, R> | undefined => {
  const past: Array<E> = []
  let state = frozen(aggregate.initial)
  let time = 0
  for (const [index, { command, pause }] of frozen(history).entries()) {
    time += pause
    const asked = { command, meta: metaOf(index, time), before: state }
    const breach = (invariant: string, how: string) => ({ invariant, how, past, taken: asked })
    const step = Result.try(() => frozen(Aggregate.step(aggregate, asked.before, command, asked.meta)))
    if (Result.isFailure(step)) return breach(always.total, `${command._tag} threw ${String(step.failure)}`)
    const { events, refusal } = step.success
    coverage[command._tag]![refusal === undefined ? "accepted" : "refused"] += 1
    for (const event of events) {
      const encoded = aggregate.actions.encode(event)
      if (Result.isFailure(encoded)) return breach(always.storable, encoded.failure.message)
    }
    const taken = { ...asked, ...step.success }
    for (const [invariant, holds] of Object.entries(invariants)) {
      const held = Result.try(() => holds(taken.state, taken))
      if (Result.isFailure(held)) return breach(invariant, `it threw ${String(held.failure)}`)
      if (!held.success) return breach(invariant, `it does not hold after ${command._tag}`)
    }
    past.push(...events)
    state = taken.state
  }
  return undefined
}

const neverAccepted = (
  coverage: Coverage<string>,
  claimed: ReadonlyArray<string>
): string | undefined => {
  for (const [name, { accepted, refused }] of Object.entries(coverage)) {
    if (accepted === 0 && !claimed.includes(name)) {
      return `No history got ${name} accepted (${refused} were refused), so nothing was tested of it. Say where better ` +
        `ones come from, { arbitraries: { ${name}: … } }, or that none is ever accepted: { neverAccepted: ["${name}"] }.`
    }
    if (accepted > 0 && claimed.includes(name)) return `${name} is claimed to be never accepted, but ${accepted} were.`
  }
  return undefined
}

const brokenBy = <S, C extends Tag, E extends Tag, R, N>(
  aggregate: Aggregate.Aggregate<S, C, E, R, N>,
  breach: Breach<S, C, E, R>,
  { input, runs, seed }: {
    readonly input: ReadonlyArray<Timed<C>>
    readonly runs: number
    readonly seed: string | number
  }
): InvariantBroken => {
  const history = input.map(({ command }) => command)
  const print = printer(aggregate.actions)
  const test = testOf(aggregate, breach, print)
  const message = `Not always true: ${breach.invariant}\n${breach.how}\n\n` +
    `The shortest history found (seed ${JSON.stringify(seed)}, run ${runs}), as a test of what happens now:\n\n${
      indented(test)
    }\n\nThe commands of the history: ${print(history)}`
  return new InvariantBroken(breach.invariant, message, { history, seed, test })
}

/** What the last command comes to behind the events of those before, as a test. */
const testOf = <S, C extends Tag, E extends Tag, R, N>(
  aggregate: Aggregate.Aggregate<S, C, E, R, N>,
  { past, taken: { before, command, meta } }: Breach<S, C, E, R>,
  print: (value: unknown) => string
): string => {
  const { actions: { name } } = aggregate
  const decided = Result.try(() => Aggregate.step(aggregate, before, command, meta))
  const alone = Result.try(() => Aggregate.step(aggregate, before, command, metaOf(0, 0)))
  const rule = literalOf({
    given: past.length === 0 ? undefined : print(past),
    when: print(command),
    // Left out where the rule does not look at it.
    meta: equal(alone, decided) ? undefined : print({ id: meta.id, time: meta.time }),
    ...Result.isFailure(decided) ? { thenEvents: "[ /* it throws */ ]" } : expectations(decided.success, print)
  })
  return `AggregateTest.check(${name.charAt(0).toLowerCase()}${name.slice(1)}, ${rule})`
}

const expectations = <S, E, R>(
  { effects, events, refusal, state }: Aggregate.Step<S, E, R>,
  print: (value: unknown) => string
): Readonly<Record<string, string | undefined>> =>
  refusal === undefined
    ? {
      thenEvents: print(events),
      thenState: print(state),
      thenEffects: effects._tag === "None" ? undefined : print(effects)
    }
    : { thenRefused: print(refusal.reason) }
