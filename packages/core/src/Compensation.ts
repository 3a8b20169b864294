/**
 * What a saga has done so far, and how it is taken back when the whole cannot be carried through: completed steps are
 * undone in reverse, one after the other.
 *
 * A {@link Compensation} is plain data and belongs into the saga's state; `evolve` moves it on by what happened, and
 * `decide` or `react` ask {@link next} what to do now. It asks for nothing itself, so which command or task undoes a step
 * is the saga's own business.
 *
 * Not every step can be undone, nor need be: `keep` says so, and why the undoing passes over it. An undoing that fails is
 * tried again, as often as its step allows; then the whole is `stuck` on that step until somebody decides: {@link retry}
 * or {@link giveUp}.
 */
import * as Schema from "effect/Schema"

/** How a step is taken back. */
export type Undo =
  /** It is undone; `attempts` in all, a whole number from 1, default 1. */
  | { readonly undo: "undo"; readonly attempts?: number | undefined }
  /** It stays as it is: nothing follows from it, or nothing can be done about it. */
  | { readonly undo: "keep" }

/** The steps of a saga, by name. */
export type Steps<Name extends string> = Readonly<Record<Name, Undo>>

/** What has become of a step that was completed. */
export interface Step<out Name extends string> {
  readonly step: Name
  /**
   * `done`: it stands. `undoing`: being undone, for the `attempt`-th time, from 1. `undone`, `kept`: passed over.
   * `givenUp`: it should have been undone and never will be.
   */
  readonly status: "done" | "undoing" | "undone" | "kept" | "givenUp"
  readonly attempt: number
}

/**
 * - `forward`: steps are completed, and nothing is taken back.
 * - `undoing`: {@link next} says which step is being undone.
 * - `stuck`: the last attempt at undoing a step has failed, and somebody has to decide.
 * - `compensated`: nothing is left to undo.
 */
export type Phase = "forward" | "undoing" | "stuck" | "compensated"

/** What was done, in the order in which it was completed, and what of it is taken back. */
export interface Compensation<out Name extends string> {
  readonly phase: Phase
  readonly steps: ReadonlyArray<Step<Name>>
}

/** A step to undo, and which attempt it is. */
export interface Undoing<out Name extends string> {
  readonly step: Name
  readonly attempt: number
}

/** How the steps of a saga are kept and taken back. Every function is pure. */
export interface Plan<Name extends string> {
  /** Nothing done yet. */
  readonly initial: Compensation<Name>
  /** The schema of the state, for a saga's snapshots. */
  readonly Compensation: Schema.Codec<Compensation<Name>, unknown>
  /**
   * A step was completed. Also while others are undone: what was still under way when that began is undone next, and what
   * comes when all is undone is undone by itself. A step is completed once: told again, whatever became of it since,
   * nothing changes.
   */
  readonly completed: (state: Compensation<Name>, step: Name) => Compensation<Name>
  /** Begins to take back what was completed. Nothing changes when that has begun already. */
  readonly compensate: (state: Compensation<Name>) => Compensation<Name>
  /** The step to undo now, if one is. It stays the same until that is {@link undone} or has {@link failed}. */
  readonly next: (state: Compensation<Name>) => Undoing<Name> | undefined
  /** A step is undone; the one before it is next. Nothing changes unless it was that step's turn. */
  readonly undone: (state: Compensation<Name>, step: Name) => Compensation<Name>
  /**
   * An attempt at undoing a step has failed: it is tried again, or all attempts are used up and the whole is stuck. Nothing
   * changes unless it was that attempt's turn, so that the same failure told twice counts once.
   */
  readonly failed: (state: Compensation<Name>, failure: Undoing<Name>) => Compensation<Name>
  /** The step on which the whole is stuck, with its last attempt. */
  readonly stuckOn: (state: Compensation<Name>) => Undoing<Name> | undefined
  /** Tries the step on which the whole is stuck once more. The next failure makes it stuck again. */
  readonly retry: (state: Compensation<Name>) => Compensation<Name>
  /** Leaves the step on which the whole is stuck as it is, for good, and goes on with the one before it. */
  readonly giveUp: (state: Compensation<Name>) => Compensation<Name>
}

/**
 * The plan for a saga's steps. Throws a `RangeError` for a number of attempts that is none.
 *
 * @example
 * ```ts
 * import * as Compensation from "@composable-ts/core/Compensation"
 *
 * const plan = Compensation.of({
 *   reserve: { undo: "undo" },
 *   charge: { undo: "undo", attempts: 3 },
 *   mail: { undo: "keep" }
 * })
 *
 * const done = plan.completed(plan.completed(plan.completed(plan.initial, "reserve"), "charge"), "mail")
 * const back = plan.compensate(done)
 * plan.next(back) // => { step: "charge", attempt: 1 }
 * plan.next(plan.undone(back, "charge")) // => { step: "reserve", attempt: 1 }
 * plan.undone(plan.undone(back, "charge"), "reserve").phase // => "compensated"
 * ```
 */
export const of = <const Name extends string>(steps: Steps<Name>): Plan<Name> => {
  const attemptsOf = new Map<string, number>()
  const names = Object.keys(steps) as Array<Name>
  for (const name of names) {
    const rule: Undo = steps[name]
    if (rule.undo === "keep") continue
    const { attempts = 1 } = rule
    if (!(Number.isSafeInteger(attempts) && attempts >= 1)) {
      throw new RangeError(`step ${name} is undone in ${attempts} attempts: it must be a whole number from 1`)
    }
    attemptsOf.set(name, attempts)
  }

  const replace = (
    { steps }: Compensation<Name>,
    index: number,
    changed: Omit<Step<Name>, "step">
  ): ReadonlyArray<Step<Name>> => steps.map((step, i) => i === index ? { step: step.step, ...changed } : step)

  /** Goes on to the last step that still stands, passing over those that are kept. */
  const goOn = (done: ReadonlyArray<Step<Name>>): Compensation<Name> => {
    const after = [...done]
    for (let i = after.length - 1; i >= 0; i--) {
      const { status, step } = after[i]!
      if (status !== "done") continue
      if (attemptsOf.has(step)) {
        after[i] = { step, status: "undoing", attempt: 1 }
        return { phase: "undoing", steps: after }
      }
      after[i] = { step, status: "kept", attempt: 0 }
    }
    return { phase: "compensated", steps: after }
  }

  const current = ({ steps }: Compensation<Name>): number => steps.findIndex(({ status }) => status === "undoing")

  const undoingIn = (state: Compensation<Name>, phase: Phase): Undoing<Name> | undefined => {
    if (state.phase !== phase) return undefined
    const { attempt, step } = state.steps[current(state)]!
    return { step, attempt }
  }

  const next = (state: Compensation<Name>) => undoingIn(state, "undoing")
  const stuckOn = (state: Compensation<Name>) => undoingIn(state, "stuck")

  return {
    initial: { phase: "forward", steps: [] },
    Compensation: Schema.Struct({
      phase: Schema.Literals(["forward", "undoing", "stuck", "compensated"]),
      steps: Schema.Array(Schema.Struct({
        step: Schema.Literals(names),
        status: Schema.Literals(["done", "undoing", "undone", "kept", "givenUp"]),
        attempt: Schema.Int
      }))
    }),
    completed: (state, step) => {
      if (state.steps.some((one) => one.step === step)) return state
      const steps: ReadonlyArray<Step<Name>> = [...state.steps, { step, status: "done", attempt: 0 }]
      return state.phase === "compensated" ? goOn(steps) : { ...state, steps }
    },
    compensate: (state) => state.phase === "forward" ? goOn(state.steps) : state,
    next,
    undone: (state, step) => {
      const turn = next(state) ?? stuckOn(state)
      if (turn?.step !== step) return state
      return goOn(replace(state, current(state), { status: "undone", attempt: turn.attempt }))
    },
    failed: (state, { attempt, step }) => {
      const turn = next(state)
      if (turn?.step !== step || turn.attempt !== attempt) return state
      return attempt < (attemptsOf.get(step) ?? 1)
        ? { phase: "undoing", steps: replace(state, current(state), { status: "undoing", attempt: attempt + 1 }) }
        : { ...state, phase: "stuck" }
    },
    stuckOn,
    retry: (state) => {
      const stuck = stuckOn(state)
      return stuck === undefined ? state : {
        phase: "undoing",
        steps: replace(state, current(state), { status: "undoing", attempt: stuck.attempt + 1 })
      }
    },
    giveUp: (state) => {
      const stuck = stuckOn(state)
      return stuck === undefined
        ? state
        : goOn(replace(state, current(state), { status: "givenUp", attempt: stuck.attempt }))
    }
  }
}
