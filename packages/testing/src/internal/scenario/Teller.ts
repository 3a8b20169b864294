/**
 * Checks a story against the simulation, step by step.
 */
import type * as Fx from "@composable-ts/core/Fx"
import { equal } from "../differences.ts"
import { check, type Claim, type Reading } from "./claims.ts"
import { attempt, type Deed, describe, type Ending, type Which } from "./Deed.ts"
import { interleave, type Present, search, type Way } from "./Futures.ts"
import type { Machine } from "./Machine.ts"
import { mentioned } from "./matching.ts"
import * as Move from "./Move.ts"
import { describeOrigin, framesOf, type Origin, siteOf } from "./Origin.ts"
import type { Simulation } from "./Simulation.ts"
import { type Complaint, sides, StoryBroken } from "./StoryBroken.ts"
import { claimOf, lineOfReceived, lineOfStopped, type Trail } from "./Trail.ts"
import type { Fed, Leaf, Stopped } from "./underWay.ts"
import { bullets, count, inline, tagOf } from "./words.ts"

type Method = (...given: never) => unknown

export class Teller {
  readonly #machine: Machine
  readonly #simulation: Simulation
  readonly #reading: Reading
  #trail: Trail | undefined
  #sent = 0
  #told = 0
  #last: Origin = { step: "the beginning", site: {} }
  #over = false
  /** The requests of which interleavings has seen every end. */
  readonly #seenThrough = new Set<number>()

  constructor(machine: Machine, simulation: Simulation, reading: Reading) {
    this.#machine = machine
    this.#simulation = simulation
    this.#reading = reading
  }

  get state(): unknown {
    return this.#simulation.state
  }

  get now(): number {
    return this.#simulation.now
  }

  send(action: unknown, claim: Claim = {}): this {
    return this.#step(this.send, () => this.#send(this.send, action, claim, this.#reading))
  }

  sendPartial(action: unknown, claim: Claim = {}): this {
    return this.#step(this.sendPartial, () => this.#send(this.sendPartial, action, claim, "partial"))
  }

  receive(action: unknown, claim: Claim = {}): this {
    return this.#step(this.receive, () => this.#receive(action, claim, this.#reading))
  }

  receivePartial(action: unknown, claim: Claim = {}): this {
    return this.#step(this.receivePartial, () => this.#receive(action, claim, "partial"))
  }

  answer(task: Parameters<typeof Move.answer>[0], input: unknown, ending: Ending): this {
    return this.#step(this.answer, () => this.#do(this.answer, Move.answer(task, input, ending)))
  }

  yields(source: Parameters<typeof Move.yields>[0], ...values: ReadonlyArray<unknown>): this {
    return this.#step(this.yields, () => this.#do(this.yields, Move.yields(source, values)))
  }

  ends(source: Parameters<typeof Move.ends>[0]): this {
    return this.#step(this.ends, () => this.#do(this.ends, Move.ends(source)))
  }

  fails(source: Parameters<typeof Move.fails>[0], error: unknown): this {
    return this.#step(this.fails, () => this.#do(this.fails, Move.fails(source, error)))
  }

  loads(aggregate: Parameters<typeof Move.loads>[0], current: unknown): this {
    return this.#step(this.loads, () => this.#do(this.loads, Move.loads(aggregate, current)))
  }

  ran(action: unknown, which?: Which): this {
    return this.#step(this.ran, () => this.#do(this.ran, Move.ran(action, which)))
  }

  completes(fx: Fx.AnyFx, which?: Which): this {
    return this.#step(this.completes, () => this.#do(this.completes, Move.completes(fx, which)))
  }

  breaks(fx: Fx.AnyFx, which?: Which): this {
    return this.#step(this.breaks, () => this.#do(this.breaks, Move.breaks(fx, which)))
  }

  advance(duration: Parameters<typeof Move.advance>[0]): this {
    return this.#step(this.advance, () => this.#do(this.advance, Move.advance(duration)))
  }

  stopped(...left: ReadonlyArray<Fx.AnyFx>): this {
    return this.#step(this.stopped, () => {
      const [stopped, ...later] = this.#simulation.stopped
      if (stopped === undefined) {
        throw new StoryBroken({
          happened: `No sequence has stopped, but the story says that one did, before ${left.map(inline).join(", ")}.`,
          because: this.#simulation.inbox.length > 0
            ? "the failure was fed back and not received yet; the sequence stops once it is."
            : "nothing in a sequence failed, or nothing stood behind what failed.",
          wayOut: "say it behind the step in which the member fails, and only when members are left."
        })
      }
      if (!equal(left, stopped.left)) {
        throw new StoryBroken({
          happened: `Not what the stopped sequence has left undone:\n${sides(left, stopped.left)}`,
          because: "the sequence stopped earlier or later than the story says.",
          wayOut: "name the members behind the one that failed, in their order."
        })
      }
      this.#simulation.stopped = later
      this.#note(() => lineOfStopped(stopped))
    })
  }

  interleavings(
    { answers, invariant, maxOrders = 10_000 }: {
      readonly answers: (may: typeof Move.may) => ReadonlyArray<Move.Move>
      readonly invariant: (state: never) => boolean
      readonly maxOrders?: number
    }
  ): number {
    let orders = 0
    this.#step(this.interleavings, () => {
      this.#mustRest("look at the orders that can follow")
      const pending = this.#simulation.underWay
      orders = this.#reducing(() => interleave(this.#present, { moves: answers(Move.may), invariant, maxOrders }))
      for (const { fx, id } of pending) if (fx._tag !== "Delay" && fx._tag !== "Subscribe") this.#seenThrough.add(id)
    })
    return orders
  }

  explore(
    { actions, answers, maxStates = 10_000, maxSteps, until }: {
      readonly actions: ReadonlyArray<unknown>
      readonly answers?: (may: typeof Move.may) => ReadonlyArray<Move.Move>
      readonly until: (state: never) => boolean
      readonly maxSteps: number
      readonly maxStates?: number
    }
  ): Way {
    let way: Way | undefined
    this.#step(this.explore, () => {
      this.#mustRest("look for a way to a state")
      const deeds: ReadonlyArray<Deed> = [
        ...actions.map(Move.send),
        ...(answers?.(Move.may) ?? []).flatMap(({ choices }) => choices)
      ]
      way = this.#reducing(() => search(this.#present, { deeds, until, maxSteps, maxStates }))
    })
    return way!
  }

  /** Fails on whatever the story has left open. */
  finish(): void {
    this.#over = true
    const { inbox, stopped, underWay } = this.#simulation
    const open = underWay.filter(({ id }) => !this.#seenThrough.has(id))
    const requests = open.filter(({ fx }) => fx._tag !== "Delay" && fx._tag !== "Subscribe")
    const timers = open.filter(({ fx }) => fx._tag === "Delay")
    const subscriptions = open.filter(({ fx }) => fx._tag === "Subscribe")
    const parts = [
      part(inbox.length, "action was fed back and not received", inbox.map(describeFed)),
      part(requests.length, "request is outstanding", requests.map(describe)),
      part(timers.length, "timer still runs", timers.map(describe)),
      part(subscriptions.length, "subscription still runs", subscriptions.map(describe)),
      part(stopped.length, "sequence stopped and the story does not say so", stopped.map(describeStopped))
    ].filter((text) => text !== "")
    if (parts.length === 0) return
    const first: Fed | Leaf | Stopped = [...inbox, ...requests, ...timers, ...subscriptions, ...stopped][0]!
    const broken = new StoryBroken({
      happened: `The story ends, but not all that it began:\n${parts.join("\n")}`,
      because: "a step was forgotten, or the feature starts or leaves running what it should not.",
      wayOut:
        "receive the actions, answer the requests, advance the time, end or cancel what runs, and claim what stopped."
    })
    const frames = framesOf(first.origin.site)
    if (frames.length > 0) broken.stack = `${broken.name}: ${broken.message}\n${frames.join("\n")}`
    throw broken
  }

  /** The trace of what breaks starts at the step of the story, so that a runner points at the line to look at. */
  #step(method: Method, tell: () => void): this {
    try {
      if (this.#over) {
        throw new StoryBroken({
          happened: "The story is over: this step comes after its end.",
          because: "the story was kept and used behind its function, perhaps because that is asynchronous.",
          wayOut: "tell everything within the function given to Scenario.run, which must not be async."
        })
      }
      this.#told += 1
      tell()
      return this
    } catch (error) {
      if (error instanceof StoryBroken) Error.captureStackTrace(error, method)
      throw error
    }
  }

  #send(method: Method, action: unknown, claim: Claim, reading: Reading): void {
    this.#mustRest(`send ${tagOf(action)}`)
    const origin: Origin = { step: `send ${this.#sent += 1}, ${tagOf(action)}`, site: siteOf(method) }
    this.#last = origin
    const reduction = this.#reducing(() => this.#simulation.send(action, origin))
    this.#note(() => `story.send(${inline(action)}${claimOf(reduction)})`)
    check(reduction, { step: origin.step, claim, reading })
  }

  #receive(action: unknown, claim: Claim, reading: Reading): void {
    const fed = this.#simulation.inbox[0]
    if (fed === undefined) throw new StoryBroken(this.#nothingFed(action))
    const actual = reading === "partial" ? mentioned(action, fed.action) : fed.action
    if (!equal(action, actual)) {
      throw new StoryBroken({
        happened: `Not the action that was fed back next, by ${describeOrigin(fed.origin)}:\n${sides(action, actual)}${
          this.#simulation.inbox.length > 1
            ? `\nBehind it: ${this.#simulation.inbox.slice(1).map((other) => inline(other.action)).join(", ")}`
            : ""
        }`,
        because: tagOf(action) === tagOf(actual)
          ? "the action carries other values: look at the outcome that made it, or at the answer that was given."
          : "actions are received in the order in which they were sent; one was forgotten, or comes in another place.",
        wayOut: "receive what was fed back; an action of a part comes wrapped in its place.",
        expected: action,
        actual
      })
    }
    const reduction = this.#reducing(() => this.#simulation.receive(fed))
    this.#note(() => lineOfReceived(reduction))
    check(reduction, { step: `receiving ${tagOf(action)} (from ${fed.origin.step})`, claim, reading })
  }

  #do(method: Method, deed: Deed): void {
    this.#mustRest(`do this: ${deed._tag === "Advance" ? `advance by ${deed.millis} ms` : deed._tag.toLowerCase()}`)
    const origin: Origin = { step: `step ${this.#told}`, site: siteOf(method) }
    const done = attempt(this.#machine, this.#simulation, deed, origin)
    if ("none" in done) throw new StoryBroken(done.none)
    this.#note(() => `${done.line()})`)
  }

  get #present(): Present {
    return { machine: this.#machine, simulation: this.#simulation, trail: this.#trail, origin: this.#last }
  }

  #note(line: () => string): void {
    this.#trail = { line, before: this.#trail }
  }

  /** What the reducer throws is its own fault, and told as such. */
  #reducing<A>(reduce: () => A): A {
    try {
      return reduce()
    } catch (cause) {
      if (cause instanceof StoryBroken || isAssertion(cause)) throw cause
      throw new StoryBroken({
        happened: `The feature threw: ${String(cause)}`,
        because: "a defect in the reducer, or in an outcome; a reducer is total.",
        wayOut: "refuse with Fx.reject what is not allowed, and handle every action in every state.",
        cause
      })
    }
  }

  #mustRest(what: string): void {
    const { inbox, stopped } = this.#simulation
    if (inbox.length > 0) {
      throw new StoryBroken({
        happened: `Before the story can ${what}, it must receive what was fed back:\n${
          bullets(inbox.map(describeFed))
        }`,
        because: "a store reduces what effects send before anything else, so nothing comes between.",
        wayOut: `receive it first: story.receive(${inline(inbox[0]!.action)}, …).`,
        actual: inbox.map(({ action }) => action)
      })
    }
    if (stopped.length > 0) {
      throw new StoryBroken({
        happened: `Before the story can ${what}, it must say that a sequence stopped:\n${
          bullets(stopped.map(describeStopped))
        }`,
        because: "a member of the sequence failed, so those behind it are never begun.",
        wayOut: `claim it first: ${lineOfStopped(stopped[0]!)}.`
      })
    }
  }

  #nothingFed(action: unknown): Complaint {
    const { now, underWay } = this.#simulation
    const running = underWay.length === 0 ? "" : `\nUnder way at ${now} ms:\n${bullets(underWay.map(describe))}`
    return {
      happened: `Nothing was fed back, so ${tagOf(action)} cannot be received.${running}`,
      because: underWay.length === 0
        ? "no step before it made the feature send anything that is not received yet."
        : "the request is not answered yet, or the timer not due.",
      wayOut: "answer the request, or advance the time, before receiving what comes of it.",
      expected: action
    }
  }
}

const isAssertion = (error: unknown): boolean => error instanceof Error && error.name === "AssertionError"

const part = (number: number, [first = "", ...rest]: string | ReadonlyArray<string>, lines: ReadonlyArray<string>) =>
  number === 0 ? "" : `${count(number, first + rest.join(""))}\n${bullets(lines)}`

const describeFed = ({ action, origin }: Fed): string => `${inline(action)}: from ${describeOrigin(origin)}`

const describeStopped = ({ failed, left, origin }: Stopped): string =>
  `stopped at ${inline(failed)}, not begun: ${left.map(inline).join(", ")}; from ${describeOrigin(origin)}`
