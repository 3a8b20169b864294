/**
 * The futures that can follow from a present: every order of what is pending, and the shortest way to a state.
 */
import { equal } from "../differences.ts"
import { attempt, type Deed, describe } from "./Deed.ts"
import type { Machine } from "./Machine.ts"
import type { Move } from "./Move.ts"
import type { Origin } from "./Origin.ts"
import type { Simulation } from "./Simulation.ts"
import { StoryBroken } from "./StoryBroken.ts"
import { claimOf, lineOfReceived, lineOfStopped, script, type Trail } from "./Trail.ts"
import type { Reduction } from "./underWay.ts"
import { bullets, count, inline, tagOf } from "./words.ts"

/** A present: what has happened, and what the feature is then. */
export interface Present {
  readonly machine: Machine
  readonly simulation: Simulation
  readonly trail: Trail | undefined
  readonly origin: Origin
}

/** How many actions one deed may lead to, before it is taken to go on for ever. */
const mostReceived = 10_000

/**
 * What follows when a deed is done and all that it feeds back is received; nothing when it cannot be done. `see` is told
 * of every action, and ends the matter when it says so.
 */
const follow = (
  from: Present,
  deed: Deed,
  see: (reduction: Reduction, present: Present) => boolean
): Present | undefined => {
  const { machine, origin } = from
  const simulation = from.simulation.copy()
  const done = attempt(machine, simulation, deed, origin)
  if ("none" in done) return undefined
  const { line, reduction } = done
  let trail: Trail = {
    line: () => `${line()}${reduction === undefined ? "" : claimOf(reduction)})`,
    before: from.trail
  }
  const at = () => ({ machine, simulation, trail, origin })
  if (reduction !== undefined && see(reduction, at())) return at()
  for (let received = 0; simulation.inbox.length > 0; received++) {
    if (received === mostReceived) throw new StoryBroken(endless(simulation.inbox[0]!.action, trail))
    const next = simulation.receive(simulation.inbox[0]!)
    trail = { line: () => lineOfReceived(next), before: trail }
    if (see(next, at())) return at()
  }
  for (const stopped of simulation.stopped) trail = { line: () => lineOfStopped(stopped), before: trail }
  simulation.stopped = []
  return at()
}

const endless = (action: unknown, trail: Trail) => ({
  happened: `More than ${mostReceived} actions were fed back without a pause; ${tagOf(action)} was the next.`,
  because: "an action sends itself again, directly or by a timer of no duration.",
  wayOut: "let it wait for something, or end it.",
  script: script({ line: () => "…", before: trail })
})

export interface Orders {
  readonly moves: ReadonlyArray<Move>
  readonly invariant: (state: never) => boolean
  readonly maxOrders: number
}

/** Runs every order of the moves; each is made once, when it can be. Tells how many orders there are. */
export const interleave = (present: Present, { invariant, maxOrders, moves }: Orders): number => {
  const made = new Set<Move>()
  let orders = 0
  const see = (reduction: Reduction, { trail }: Present): false => {
    const broken = brokenBy(() => invariant(reduction.state as never))
    if (broken === undefined) return false
    throw new StoryBroken({
      ...broken,
      happened: `The invariant does not hold after ${tagOf(reduction.action)}, which led to the state ${
        inline(reduction.state)
      }.`,
      because: "the feature relies on an order in which answers need not come.",
      wayOut: "tell these steps as a story of their own, and say there what should happen.",
      actual: reduction.state,
      script: script(trail)
    })
  }
  const visit = (here: Present, left: ReadonlyArray<Move>): void => {
    let some = false
    for (const move of left) {
      for (const deed of move.choices) {
        const next = follow(here, deed, see)
        if (next === undefined) continue
        some = true
        made.add(move)
        visit(next, left.filter((other) => other !== move))
      }
    }
    if (some) return
    orders += 1
    if (orders > maxOrders) throw new StoryBroken(tooMany(maxOrders, moves))
    const pending = here.simulation.underWay.filter(({ fx }) => fx._tag !== "Delay" && fx._tag !== "Subscribe")
    if (pending.length > 0) throw new StoryBroken(unanswered(pending.map(describe), here))
  }
  visit(present, moves)
  const never = moves.filter((move) => !made.has(move))
  if (never.length > 0) {
    throw new StoryBroken({
      happened: `${count(never.length, "move")} could not be made in any order:\n${
        bullets(never.map(({ choices }) => choices.map(inline).join(" or ")))
      }`,
      because: "no such request is ever under way: another input, or it has already ended.",
      wayOut: "leave the move out, or correct what it is about."
    })
  }
  return orders
}

/** An invariant may say no, or throw what an assertion throws; then that is the cause. Nothing when it holds. */
const brokenBy = (holds: () => boolean): { readonly cause?: unknown } | undefined => {
  try {
    return holds() ? undefined : {}
  } catch (cause) {
    return { cause }
  }
}

const tooMany = (most: number, moves: ReadonlyArray<Move>) => ({
  happened: `There are more than ${most} orders of the ${moves.length} moves.`,
  because: "the number of orders grows as the factorial of the number of moves, times the outcomes of each.",
  wayOut: "give fewer moves or outcomes, or a higher `maxOrders`."
})

const unanswered = (pending: ReadonlyArray<string>, { trail }: Present) => ({
  happened: `An order ends with ${count(pending.length, "request")} under way, for which no outcome is given:\n${
    bullets(pending)
  }`,
  because: "the request was forgotten among the moves, or is only made in this order.",
  wayOut: "give a move for it: may.answer(task, input, …outcomes).",
  script: script(trail)
})

export interface Search {
  /** What can be done any number of times, whenever it is possible. */
  readonly deeds: ReadonlyArray<Deed>
  readonly until: (state: never) => boolean
  readonly maxSteps: number
  readonly maxStates: number
}

/** The shortest way to a state. */
export interface Way {
  readonly steps: number
  readonly state: unknown
  readonly script: string
}

/** Breadth first, so that the first way found is a shortest one. */
export const search = (present: Present, { deeds, maxStates, maxSteps, until }: Search): Way => {
  if (until(present.simulation.state as never)) return { steps: 0, state: present.simulation.state, script: "" }
  const seen = new Seen()
  seen.add(present.simulation)
  const start: Present = { ...present, trail: undefined }
  let frontier: ReadonlyArray<Present> = [start]
  for (let steps = 1; frontier.length > 0; steps++) {
    if (steps > maxSteps) throw new StoryBroken(tooFar(maxSteps, seen.size))
    const next: Array<Present> = []
    for (const here of frontier) {
      for (const deed of deeds) {
        let found: Present | undefined
        const after = follow(here, deed, (reduction, at) => {
          if (!until(reduction.state as never)) return false
          found = at
          return true
        })
        if (found !== undefined) {
          return { steps, state: found.simulation.state, script: script(found.trail) }
        }
        if (after === undefined || !seen.add(after.simulation)) continue
        if (seen.size > maxStates) throw new StoryBroken(tooWide(maxStates, steps))
        next.push(after)
      }
    }
    frontier = next
  }
  throw new StoryBroken({
    happened: `No state fulfils \`until\`: all ${count(seen.size, "situation")} that can be reached were seen.`,
    because: "the actions and answers given do not lead there, or the feature does not allow it.",
    wayOut: "give what is missing among the actions and answers. If the state must not be reachable, this is the proof."
  })
}

const tooFar = (most: number, seen: number) => ({
  happened: `No state that fulfils \`until\` was found within ${count(most, "step")}; ${
    count(seen, "situation")
  } were seen.`,
  because: "the way is longer, or there is none.",
  wayOut: "give a higher `maxSteps`, or start nearer to the state."
})

const tooWide = (most: number, steps: number) => ({
  happened: `No state that fulfils \`until\` was found among the first ${count(most, "situation")}, up to ${
    count(steps, "step")
  } away.`,
  because: "the state grows with each action, or holds a time or an id, so that no two situations are the same.",
  wayOut: "give fewer actions or a higher `maxStates`, or start nearer to the state."
})

/** The situations that were met: the state, and what is under way. */
class Seen {
  readonly #byText = new Map<string, Array<unknown>>()
  size = 0

  /** Whether it is a new one. */
  add({ now, queued, state, throttles, underWay }: Simulation): boolean {
    const situation = [
      state,
      underWay.map(({ due, fx }) => [fx, Number.isFinite(due) ? due - now : null]),
      queued,
      throttles
    ]
    const text = inline(situation)
    const alike = this.#byText.get(text) ?? []
    if (alike.some((other) => equal(other, situation))) return false
    this.#byText.set(text, [...alike, situation])
    this.size += 1
    return true
  }
}
