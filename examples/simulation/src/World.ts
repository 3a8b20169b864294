/**
 * A pure model of several aggregates that drive each other: what one has done waits in a pool, and whoever runs the world
 * chooses what happens next. It is less orderly than a durable runtime, so rules that hold here hold there:
 *
 * - whatever waits may happen in any order; time jumps to a timer that is chosen, past those that were due before;
 * - anything may happen again, as after a worker that crashed or was slow: a command under its first id, which is
 *   recognised if it had stored anything, a task with its first input, a timer although it was cancelled.
 */
import type { Meta } from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import type * as Fx from "@composable-ts/core/Fx"
import { Result, Schema } from "effect"

type Tag = { readonly _tag: string }

/** A command for an instance. */
export interface Addressed {
  readonly category: string
  readonly id: string
  readonly command: Tag
}

/** How a task ended. */
export type Ending = { readonly success: unknown } | { readonly failure: unknown }

/** What a command came to: what was stored, and what else is to be done. */
interface Taken {
  readonly events: ReadonlyArray<Tag>
  readonly inputs: ReadonlyArray<Addressed>
  readonly effects: Fx.AnyFx
  readonly refusal: Tag | undefined
}

/** An aggregate's instances, in one world. */
export interface Instances {
  readonly category: string
  readonly take: (id: string, command: Tag, meta: Meta) => Taken
  readonly report: (task: string, input: unknown, ending: Ending) => Tag
}

/** An aggregate of a world. */
export interface Member {
  readonly instances: () => Instances
}

/** An event in a world's log. */
export interface Logged {
  readonly category: string
  readonly id: string
  readonly event: Tag
}

/** A refusal, which nobody waits for. */
export interface Refused extends Addressed {
  readonly reason: Tag
}

/** Something that may happen. */
type Pending =
  | ({ readonly _tag: "Command"; readonly commandId: string } & Addressed)
  | {
    readonly _tag: "Task"
    readonly category: string
    readonly id: string
    readonly task: string
    readonly input: unknown
    readonly commandId: string
  }
  | ({ readonly _tag: "Timer"; readonly timer: string; readonly due: number; readonly commandId: string } & Addressed)

const isTagged = Schema.is(Schema.Struct({ _tag: Schema.String }))

/** Takes an aggregate into worlds. `inputs` says what its events mean to others. */
export const member = <S, C extends Tag, E extends Tag, R, N>(
  aggregate: Aggregate.Aggregate<S, C, E, R, N>,
  inputs: (event: E) => ReadonlyArray<Addressed> = () => []
): Member => {
  const isCommand = Schema.is(aggregate.actions.Command)
  const commandOf = (action: unknown): C => {
    if (isCommand(action)) return action
    throw new TypeError(`${aggregate.actions.name} has no such command: ${JSON.stringify(action)}`)
  }
  const instances = (): Instances => {
    const states = new Map<string, S>()
    return {
      category: aggregate.category,
      take: (id, command, meta) => {
        const before = states.get(id) ?? aggregate.initial
        const { effects, events, refusal, state } = Aggregate.step(aggregate, before, commandOf(command), meta)
        for (const event of events) Result.getOrThrow(aggregate.actions.encode(event))
        states.set(id, state)
        return {
          events,
          effects,
          inputs: events.flatMap(inputs),
          refusal: refusal === undefined ? undefined : tagged(refusal.reason)
        }
      },
      report: (task, input, ending) => {
        const outcome = aggregate.outcomes[task]
        if (outcome === undefined || !("success" in outcome)) throw new TypeError(`no outcome of ${task} is declared`)
        return commandOf(
          "success" in ending
            ? outcome.success(ending.success as never, input as never)
            : outcome.failure(ending.failure as never, input as never)
        )
      }
    }
  }
  return { instances }
}

/** What a world consists of. */
export interface Options {
  readonly members: ReadonlyArray<Member>
  /** Answers a task: the outside world, which may keep a state of its own. */
  readonly perform?: (task: string, input: unknown) => Ending
  /** Throws when something is not as it must always be. Called after everything that happens. */
  readonly check?: (world: World) => void
}

/** Several aggregates, the log of their events, and what may happen next. */
export class World {
  readonly log: Array<Logged> = []
  readonly refusals: Array<Refused> = []
  readonly #members: ReadonlyMap<string, Instances>
  readonly #options: Options
  #now = 0
  #pending: Array<Pending> = []
  readonly #past: Array<Pending> = []
  readonly #stored = new Set<string>()

  constructor(options: Options) {
    this.#options = options
    this.#members = new Map(options.members.map((member) => {
      const instances = member.instances()
      return [instances.category, instances]
    }))
  }

  /** The time, in milliseconds since the world began. Only timers let it pass. */
  get now(): number {
    return this.#now
  }

  /** How much waits. */
  get pending(): number {
    return this.#pending.length
  }

  /** The events of an aggregate's instances, oldest first. */
  eventsOf(category: string): ReadonlyArray<Tag> {
    return this.log.filter((logged) => logged.category === category).map(({ event }) => event)
  }

  /** Has a command wait, as if somebody had sent it. */
  send(addressed: Addressed): void {
    this.#pending.push({ _tag: "Command", commandId: `sent-${this.#pending.length + this.#past.length}`, ...addressed })
  }

  /**
   * Has something happen: each number chooses what, and whether it is done with then, or a copy of it stays behind, as of
   * a worker that crashed. A number may also choose something that was done with long ago.
   */
  happen(choices: ReadonlyArray<number>): void {
    for (const choice of choices) {
      const index = Math.floor(choice / 4)
      if (choice % 4 === 0 && this.#past.length > 0) {
        this.#deliver(this.#past[index % this.#past.length]!)
      } else if (this.#pending.length > 0) {
        const at = index % this.#pending.length
        const chosen = this.#pending[at]!
        if (choice % 4 !== 1) this.#complete(at)
        this.#deliver(chosen)
      }
    }
  }

  /** Lets everything that waits happen, the oldest first, and timers when they are due and nothing else waits. */
  settle(most = 10_000): void {
    for (let count = 0; this.#pending.length > 0; count++) {
      if (count === most) throw new Error(`The world does not come to rest: ${JSON.stringify(this.#pending)}`)
      const at = this.#next()
      const chosen = this.#pending[at]!
      this.#complete(at)
      this.#deliver(chosen)
    }
  }

  #next(): number {
    const earliest = this.#pending.reduce((least, pending) => Math.min(least, dueAt(pending)), Number.POSITIVE_INFINITY)
    return this.#pending.findIndex((pending) => dueAt(pending) === earliest)
  }

  #complete(at: number): void {
    this.#past.push(...this.#pending.splice(at, 1))
  }

  #deliver(happening: Pending): void {
    if (happening._tag === "Task") {
      const { category, commandId, id, input, task } = happening
      const ending = this.#perform(task, input)
      // Its outcome is recorded once, in the commit that ends the task; a copy that runs again reports to nobody.
      if (!this.#pending.includes(happening)) {
        this.#dispatch({ category, id, command: this.#of(category).report(task, input, ending) }, commandId)
      }
    } else {
      if (happening._tag === "Timer") this.#now = Math.max(this.#now, happening.due)
      this.#dispatch(happening, happening.commandId)
    }
    this.#options.check?.(this)
  }

  #perform(task: string, input: unknown): Ending {
    if (this.#options.perform === undefined) throw new Error(`Nobody performs ${task}`)
    return this.#options.perform(task, input)
  }

  #of(category: string): Instances {
    const instances = this.#members.get(category)
    if (instances === undefined) throw new Error(`There is no aggregate ${category}`)
    return instances
  }

  #dispatch({ category, command, id }: Addressed, commandId: string): void {
    const known = `${category}-${id} ${commandId}`
    if (this.#stored.has(known)) return
    const meta = { id: commandId, time: this.#now, correlationId: commandId, causationId: commandId }
    const { effects, events, inputs, refusal } = this.#of(category).take(id, command, meta)
    if (refusal !== undefined) {
      this.refusals.push({ category, id, command, reason: refusal })
      return
    }
    if (events.length === 0) return
    this.#stored.add(known)
    for (const event of events) this.log.push({ category, id, event })
    const cause = `${known} ${this.log.length}`
    inputs.forEach((input, index) =>
      this.#pending.push({ _tag: "Command", ...input, commandId: `${cause} input ${index}` })
    )
    this.#plan({ category, id }, effects, cause)
  }

  /** Has effects wait. */
  #plan(from: { readonly category: string; readonly id: string }, fx: Fx.AnyFx, cause: string): void {
    const commandId = `${cause} effect`
    switch (fx._tag) {
      case "None":
        return
      case "Parallel":
      case "Sequential":
        fx.fx.forEach((part, index) => this.#plan(from, part, `${cause} ${index}`))
        return
      case "Dispatch":
        this.#pending.push({
          _tag: "Command",
          category: fx.category,
          id: fx.id,
          command: tagged(fx.command),
          commandId
        })
        return
      case "Perform":
        this.#pending.push({ _tag: "Task", ...from, task: fx.task, input: fx.input, commandId })
        return
      case "Delay":
        this.#pending.push({
          _tag: "Timer",
          ...from,
          timer: fx.id,
          due: this.#now + fx.millis,
          command: tagged(fx.action),
          commandId
        })
        return
      case "Cancel": {
        const ends = (p: Pending) =>
          p._tag === "Timer" && p.category === from.category && p.id === from.id && p.timer === fx.id
        this.#past.push(...this.#pending.filter(ends))
        this.#pending = this.#pending.filter((p) => !ends(p))
        return
      }
      default:
        throw new TypeError(`A world cannot do this: ${fx._tag}`)
    }
  }
}

/** Timers happen when they are due, all else at once. */
const dueAt = (pending: Pending): number => pending._tag === "Timer" ? pending.due : Number.NEGATIVE_INFINITY

const tagged = (value: unknown): Tag => {
  if (isTagged(value)) return value
  throw new TypeError(`Commands and refusals are tagged, but this is not: ${JSON.stringify(value)}`)
}
