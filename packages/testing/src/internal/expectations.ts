/**
 * Whether a value wants done what is expected, and what to say when it does not.
 */
import * as Fx from "@composable-ts/core/Fx"
import * as Equal from "effect/Equal"
import * as Formatter from "effect/Formatter"
import { differences, equal, isRecord } from "./differences.ts"
import { leaves } from "./leaves.ts"

/** What a matcher says, as vitest wants it. */
interface Verdict {
  readonly pass: boolean
  readonly message: () => string
  /** With these vitest shows a diff. */
  readonly actual?: unknown
  readonly expected?: unknown
}

/** How a test runner compares: it knows asymmetric matchers, and the testers that a user has added. */
interface Runner {
  readonly equals: (actual: unknown, expected: unknown, testers?: Array<Tester>, strict?: boolean) => boolean
  readonly customTesters: ReadonlyArray<unknown>
}
type Tester = (actual: unknown, expected: unknown) => boolean | undefined

/** What Effect can compare, it compares: 14.0 is 14.00. */
const byEffect: Tester = (actual, expected) =>
  Equal.isEqual(actual) && Equal.isEqual(expected) ? Equal.equals(actual, expected) : undefined

const matches = ({ customTesters, equals }: Runner, expected: unknown, actual: unknown): boolean =>
  equal(expected, actual) || equals(actual, expected, [byEffect, ...customTesters as Array<Tester>], true)

/** What a value tells of what is to be done. */
interface Told {
  readonly events: ReadonlyArray<unknown>
  readonly refusal: Fx.Reject<unknown> | undefined
  /** Everything else, one by one; nothing where the value does not tell. */
  readonly rest: ReadonlyArray<Fx.AnyFx> | undefined
}

const isFx = (value: unknown): value is Fx.AnyFx =>
  isRecord(value) && typeof value["_tag"] === "string" && Object.hasOwn(tags, value["_tag"])

/** Written as a record so that the compiler misses a tag that is missing. */
const tags: Readonly<Record<Fx.AnyFx["_tag"], true>> = {
  None: true,
  Append: true,
  Reject: true,
  Send: true,
  Perform: true,
  Subscribe: true,
  Transact: true,
  Publish: true,
  Dispatch: true,
  Load: true,
  SaveSnapshot: true,
  Run: true,
  Delay: true,
  Throttle: true,
  Cancel: true,
  CancelAll: true,
  Parallel: true,
  Sequential: true
}

const ofFx = (fx: Fx.AnyFx): Told => {
  const all = leaves(fx)
  return {
    events: all.flatMap((leaf) => leaf._tag === "Append" ? leaf.events : []),
    refusal: all.find((leaf) => leaf._tag === "Reject"),
    rest: all.filter(({ _tag }) => _tag !== "Append" && _tag !== "Reject")
  }
}

const told = (value: unknown): Told => {
  if (isFx(value)) return ofFx(value)
  if (Array.isArray(value) && value.length === 2 && isFx(value[1])) return ofFx(value[1])
  if (isRecord(value) && Array.isArray(value["events"])) {
    const { effects, events, refusal } = value as Readonly<Record<string, unknown>>
    if (isFx(effects) && (refusal === undefined || isFx(refusal))) {
      return {
        events: events as ReadonlyArray<unknown>,
        refusal: refusal?._tag === "Reject" ? refusal : undefined,
        rest: leaves(effects)
      }
    }
    if (Object.hasOwn(value, "version")) {
      return { events: events as ReadonlyArray<unknown>, refusal: undefined, rest: undefined }
    }
  }
  throw new TypeError(
    `This matcher looks at an effect description, at a step, or at the outcome of a dispatch, not at ${
      Formatter.format(value)
    }. Expect it of what decide, a reducer, Aggregate.step or dispatch returns; wait for an Effect first.`
  )
}

const listed = (lines: ReadonlyArray<string>): string => lines.map((line) => `\n  ${line}`).join("")

/** What a value tells of, in words. */
const worded = ({ events, refusal, rest }: Told): string => {
  const said = [
    ...refusal === undefined ? [] : [Fx.render(refusal)],
    ...events.map((event) => `append ${Formatter.format(event)}`),
    ...(rest ?? []).map((leaf) => Fx.render(leaf))
  ]
  return said.length === 0 ? "nothing is done" : `this is done:${listed(said)}`
}

export const appended = (runner: Runner, received: unknown, expected: ReadonlyArray<unknown>): Verdict => {
  const all = told(received)
  const pass = matches(runner, expected, all.events)
  const what = expected.length === 0 ? "no events" : expected.map((event) => Formatter.format(event)).join(", ")
  return {
    pass,
    actual: all.events,
    expected,
    message: () =>
      pass ? `Expected other events than these to be appended: ${what}` : all.refusal !== undefined
        ? `Expected these to be appended: ${what}\nbut it is refused: ${Formatter.format(all.refusal.reason)}`
        : `Not the events that are expected to be appended:${listed(differences(expected, all.events))}`
  }
}

/** The reason comes as a list, because nothing and `undefined` are not the same. */
export const rejected = (runner: Runner, received: unknown, reason: ReadonlyArray<unknown>): Verdict => {
  const { refusal, ...all } = told(received)
  const [expected] = reason
  const any = reason.length === 0
  const pass = refusal !== undefined && (any || matches(runner, expected, refusal.reason))
  if (refusal !== undefined && !any) {
    return {
      pass,
      actual: refusal.reason,
      expected,
      message: () =>
        pass
          ? `Expected another refusal than ${Formatter.format(expected)}`
          : `Not the reason that is expected:${listed(differences(expected, refusal.reason))}`
    }
  }
  return {
    pass,
    message: () =>
      refusal === undefined
        ? `Expected a refusal${any ? "" : `, ${Formatter.format(expected)}`}, but ${
          worded({ ...all, refusal: undefined })
        }`
        : `Expected it to be accepted, but it is refused: ${Formatter.format(refusal.reason)}`
  }
}

/** What is expected of one thing to do: the members that are given. */
interface Wanted {
  readonly _tag: Fx.AnyFx["_tag"]
  readonly [member: string]: unknown
}

const givenOf = (wanted: Wanted): Wanted =>
  Object.fromEntries(Object.entries(wanted).filter(([, value]) => value !== undefined)) as Wanted

/** The same members of what is done as of what is wanted. */
const alike = (wanted: Wanted, leaf: Fx.AnyFx): Wanted =>
  Object.fromEntries(Object.keys(wanted).map((key) => [key, (leaf as unknown as Wanted)[key]])) as Wanted

const verbs: Partial<Record<Fx.AnyFx["_tag"], string>> = {
  Perform: "perform",
  Subscribe: "subscribe to",
  Send: "send",
  Delay: "delay",
  Cancel: "cancel",
  Dispatch: "dispatch",
  Publish: "publish on"
}

const wish = ({ _tag, ...members }: Wanted): string =>
  [
    verbs[_tag] ?? _tag,
    ...Object.values(members).map((value) => typeof value === "string" ? value : Formatter.format(value))
  ]
    .join(" ")

/** Whether among all that is done is what is wanted. */
export const contains = (runner: Runner, received: unknown, partial: Wanted): Verdict => {
  const all = told(received)
  if (all.rest === undefined) {
    throw new TypeError(
      "The outcome of a dispatch tells of events only. What else is done is told by Aggregate.step, or by a TestStore."
    )
  }
  const wanted = givenOf(partial)
  const pass = all.rest.some((leaf) => leaf._tag === wanted._tag && matches(runner, wanted, alike(wanted, leaf)))
  // The one that was probably meant: of its kind, and the only one.
  const [near, ...others] = all.rest.filter(({ _tag }) => _tag === wanted._tag)
  const compared = near !== undefined && others.length === 0 && !pass ? alike(wanted, near) : undefined
  return {
    pass,
    ...compared === undefined ? {} : { actual: compared, expected: wanted },
    message: () =>
      pass ?
        `Expected not to ${wish(wanted)}, but ${worded(all)}` :
        `Expected to ${wish(wanted)}, but ${worded(all)}${
          compared === undefined ? "" : `\nIt differs in:${listed(differences(wanted, compared))}`
        }`
  }
}

export const nothing = (received: unknown): Verdict => {
  const all = told(received)
  const pass = all.events.length === 0 && all.refusal === undefined && (all.rest ?? []).length === 0
  return {
    pass,
    message: () => pass ? "Expected something to be done" : `Expected nothing to be done, but ${worded(all)}`
  }
}
