/**
 * What a story can do from outside, as data: send an action, tell how a request ended, let time pass.
 */
import type * as Fx from "@composable-ts/core/Fx"
import type { Outcome, Yields } from "@composable-ts/core/Reducer"
import type { AnySource } from "@composable-ts/core/Source"
import type { AnyTask } from "@composable-ts/core/Task"
import { differences, equal } from "../differences.ts"
import type { Machine } from "./Machine.ts"
import { describeOrigin, type Origin } from "./Origin.ts"
import type { Simulation } from "./Simulation.ts"
import { type Complaint, StoryBroken } from "./StoryBroken.ts"
import type { Leaf, Reduction } from "./underWay.ts"
import { bullets, inline } from "./words.ts"

/** Which one, when several are under way. */
export interface Which {
  /** The id that it was asked for with. */
  readonly id?: string
  /** The part of a composed feature that asked. */
  readonly within?: Fx.Path
  /** Its place among those that are meant otherwise, oldest first, from 0. */
  readonly nth?: number
}

/** How a task ended. */
export type Ending = { readonly success: unknown } | { readonly failure: unknown }

/** A request is meant by its input, or by a predicate of the input. */
type Meant = { readonly input: unknown } | { readonly test: (input: never) => boolean }

export type Deed =
  | { readonly _tag: "Send"; readonly action: unknown }
  | {
    readonly _tag: "Answer"
    readonly name: string
    readonly which: Which
    readonly meant: Meant
    readonly ending: Ending
  }
  | { readonly _tag: "Yield"; readonly name: string; readonly which: Which; readonly values: ReadonlyArray<unknown> }
  | { readonly _tag: "End"; readonly name: string; readonly which: Which }
  | { readonly _tag: "Fail"; readonly name: string; readonly which: Which; readonly error: unknown }
  | { readonly _tag: "Load"; readonly category: string; readonly which: Which; readonly current: unknown }
  | { readonly _tag: "Ran"; readonly which: Which; readonly action: unknown }
  | { readonly _tag: "Complete"; readonly fx: Fx.AnyFx; readonly which: Which }
  | { readonly _tag: "Break"; readonly fx: Fx.AnyFx; readonly which: Which }
  | { readonly _tag: "Advance"; readonly millis: number }

type Telling = Exclude<Deed, { readonly _tag: "Send" | "Advance" }>

/** The part of the simulation that a deed is about, or why there is none. */
export type Found = { readonly leaf: Leaf } | { readonly none: Complaint }

/** What became of a deed. */
export interface Done {
  /** What the action changed, when one was sent. */
  readonly reduction?: Reduction
  /** The deed as a line of a story. */
  readonly line: () => string
}

/** What nothing reports when it is done. */
const silent = new Set(["Transact", "Publish", "Dispatch", "SaveSnapshot"])

const asksFor = (deed: Telling, { fx }: Leaf): boolean => {
  switch (deed._tag) {
    case "Answer":
      return fx._tag === "Perform" && fx.task === deed.name
    case "Yield":
    case "End":
    case "Fail":
      return fx._tag === "Subscribe" && fx.source === deed.name
    case "Load":
      return fx._tag === "Load" && fx.category === deed.category
    case "Ran":
      return fx._tag === "Run"
    case "Complete":
      return silent.has(fx._tag) && equal(fx, deed.fx)
    case "Break":
      return fx._tag !== "Delay" && equal(fx, deed.fx)
  }
}

const isMeant = ({ id, within }: Which, { fx }: Leaf): boolean =>
  (id === undefined || ("id" in fx && fx.id === id)) && (within === undefined || ("at" in fx && equal(fx.at, within)))

const hasInput = (meant: Meant, { fx }: Leaf): boolean => {
  const { input } = fx as Fx.Perform<AnyTask>
  return "test" in meant ? meant.test(input as never) : equal(meant.input, input)
}

/** Finds what a deed is about. Throws when that could be more than one. */
export const find = (simulation: Simulation, deed: Telling): Found => {
  const { underWay } = simulation
  const asked = underWay.filter((leaf) => asksFor(deed, leaf))
  const named = asked.filter((leaf) => isMeant(deed.which, leaf))
  const all = deed._tag === "Answer" ? named.filter((leaf) => hasInput(deed.meant, leaf)) : named
  const { nth } = deed.which
  if (nth !== undefined && nth < all.length) return { leaf: all[nth]! }
  if (nth === undefined && all.length === 1) return { leaf: all[0]! }
  if (nth === undefined && all.length > 1) throw new StoryBroken(ambiguous(subject(deed), all))
  return { none: notFound(deed, asked, simulation) }
}

const subject = (deed: Telling): string => {
  switch (deed._tag) {
    case "Answer":
      return "input" in deed.meant ? `${deed.name} ${inline(deed.meant.input)}` : `${deed.name} that matches`
    case "Yield":
    case "End":
    case "Fail":
      return `subscription to ${deed.name}`
    case "Load":
      return `load of ${deed.category}${deed.which.id === undefined ? "" : ` ${deed.which.id}`}`
    case "Ran":
      return "effect of Fx.run"
    case "Complete":
    case "Break":
      return `effect ${inline(deed.fx)}`
  }
}

const ambiguous = (what: string, leaves: ReadonlyArray<Leaf>): Complaint => ({
  happened: `The story does not say which ${what} is meant; ${leaves.length} are under way:\n${
    bullets(leaves.map(describe))
  }`,
  because: "several were asked for that look the same from here.",
  wayOut: "name the one that is meant: Scenario.one(declaration, { id, within, nth })."
})

const notFound = (deed: Telling, asked: ReadonlyArray<Leaf>, { queued, underWay }: Simulation): Complaint => {
  const waiting = underWay.length === 0 ? "Nothing is under way." : `Under way:\n${bullets(underWay.map(describe))}`
  const behind = queued.length === 0
    ? ""
    : `\nNot begun, because something before it in its group has not ended:\n${bullets(queued.map((fx) => inline(fx)))}`
  const missing = `There is no ${subject(deed)} under way. ${waiting}${behind}`
  const [only, another] = asked
  if (deed._tag === "Answer" && "input" in deed.meant && only !== undefined && another === undefined) {
    const { input: expected } = deed.meant
    const { input: actual } = only.fx as Fx.Perform<AnyTask>
    if (!equal(expected, actual)) {
      const places = differences(expected, actual).map((line) => `  ${line}`).join("\n")
      return {
        happened: `${missing}\nThe one ${deed.name} that is under way has another input:\n${places}`,
        because: "the request was made with another input than the story says.",
        wayOut: "correct the rule that asks, or the input if the rule is right.",
        expected,
        actual
      }
    }
  }
  return {
    happened: missing,
    because: "it was never asked for, has already ended, or was cancelled or replaced under its id.",
    wayOut: "compare with the effects that the steps before claim; what was cancelled cannot end any more."
  }
}

/** What is under way, in words, and the step that led to it. */
export const describe = ({ due, fx, origin }: Leaf): string => {
  const when = Number.isFinite(due) ? `, due at ${due} ms` : ""
  return `${words(fx)}${when}: asked for by ${describeOrigin(origin)}`
}

const words = (fx: Fx.AnyFx): string => {
  const at = "at" in fx && fx.at.length > 0
    ? ` within ${fx.at.map(({ id, key }) => id === undefined ? key : `${key}(${id})`).join(" / ")}`
    : ""
  switch (fx._tag) {
    case "Perform":
      return `${fx.task} ${inline(fx.input)}${fx.id === null ? "" : ` as ${JSON.stringify(fx.id)}`}${at}`
    case "Subscribe":
      return `the subscription ${JSON.stringify(fx.id)} to ${fx.source} ${inline(fx.input)}${at}`
    case "Delay":
      return `the timer ${JSON.stringify(fx.id)} that sends ${inline(fx.action)}${at}`
    case "Load":
      return `the load of ${fx.category} ${fx.id} as ${fx.as}${at}`
    case "Run":
      return `an effect of Fx.run${at}`
    default:
      return inline(fx)
  }
}

/** Does it. What it is about must have been found. */
export const act = (machine: Machine, simulation: Simulation, deed: Telling, leaf: Leaf): void => {
  const { fx } = leaf
  switch (deed._tag) {
    case "Answer": {
      const { at, input, task } = fx as Fx.Perform<AnyTask>
      const outcome = outcomesOf(machine, at, task) as Outcome<AnyTask, unknown>
      return "success" in deed.ending
        ? simulation.end(leaf, "well", { action: outcome.success(deed.ending.success, input) })
        : simulation.end(leaf, "failed", { action: outcome.failure(deed.ending.failure, input) })
    }
    case "Yield": {
      const { at, input, source } = fx as Fx.Subscribe<AnySource>
      const yields = outcomesOf(machine, at, source) as Yields<AnySource, unknown>
      return simulation.yield(leaf, deed.values.map((value) => yields.value(value, input)))
    }
    case "End": {
      const { at, input, source } = fx as Fx.Subscribe<AnySource>
      const yields = outcomesOf(machine, at, source) as Yields<AnySource, unknown>
      return simulation.end(leaf, "well", yields.end === undefined ? undefined : { action: yields.end(input) })
    }
    case "Fail": {
      const { at, input, source } = fx as Fx.Subscribe<AnySource>
      const yields = outcomesOf(machine, at, source) as Yields<AnySource, unknown>
      return simulation.end(leaf, "failed", { action: yields.failure(deed.error, input) })
    }
    case "Load": {
      const { as, id } = fx as Fx.Load<unknown, unknown>
      return simulation.end(leaf, "well", { action: { _tag: as, id, current: deed.current } })
    }
    case "Ran":
      return simulation.end(leaf, "well", { action: deed.action })
    case "Complete":
      return simulation.end(leaf, "well")
    case "Break":
      return simulation.end(leaf, "failed")
  }
}

const outcomesOf = (machine: Machine, at: Fx.Path, name: string): unknown => {
  const outcome = machine.outcomeOf(at, name)
  if (outcome !== undefined) return outcome
  throw new StoryBroken({
    happened: `Nothing says which action reports what comes of ${name}.`,
    because: "the reducer asks for it, but has no outcomes for it; no store would accept it.",
    wayOut: "wrap the reducer that asks in Reducer.withOutcomes; an aggregate takes `outcomes`."
  })
}

/** Does a deed if it can be done now. */
export const attempt = (
  machine: Machine,
  simulation: Simulation,
  deed: Deed,
  origin: Origin
): Done | { readonly none: Complaint } => {
  switch (deed._tag) {
    case "Send":
      return { reduction: simulation.send(deed.action, origin), line: () => lineOf(deed, undefined) }
    case "Advance":
      simulation.advance(deed.millis)
      return { line: () => lineOf(deed, undefined) }
    default: {
      const found = find(simulation, deed)
      if ("none" in found) return found
      act(machine, simulation, deed, found.leaf)
      return { line: () => lineOf(deed, found.leaf) }
    }
  }
}

/** A deed as a line of a story, without the parentheses' end. */
const lineOf = (deed: Deed, leaf: Leaf | undefined): string => {
  switch (deed._tag) {
    case "Send":
      return `story.send(${inline(deed.action)}`
    case "Advance":
      return `story.advance(${deed.millis}`
    case "Answer":
      return `story.answer(${one(deed.name, deed.which)}, ${inline((leaf!.fx as Fx.Perform<AnyTask>).input)}, ${
        inline(deed.ending)
      }`
    case "Yield":
      return `story.yields(${[one(deed.name, deed.which), ...deed.values.map(inline)].join(", ")}`
    case "End":
      return `story.ends(${one(deed.name, deed.which)}`
    case "Fail":
      return `story.fails(${one(deed.name, deed.which)}, ${inline(deed.error)}`
    case "Load":
      return `story.loads(${one(deed.category, deed.which)}, ${inline(deed.current)}`
    case "Ran":
      return `story.ran(${inline(deed.action)}${given(deed.which)}`
    case "Complete":
      return `story.completes(${inline(deed.fx)}${given(deed.which)}`
    case "Break":
      return `story.breaks(${inline(deed.fx)}${given(deed.which)}`
  }
}

const isEmpty = (which: Which): boolean => Object.keys(which).length === 0
const one = (name: string, which: Which): string => isEmpty(which) ? name : `Scenario.one(${name}, ${inline(which)})`
const given = (which: Which): string => isEmpty(which) ? "" : `, ${inline(which)}`
