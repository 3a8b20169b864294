/**
 * What a store under test has under way, and which action wanted it.
 *
 * A store tells how much it has under way, not what. So whoever does the work says so: the handlers of tasks and sources,
 * and the clock for timers. What each was wanted for follows from the steps that the reducer made.
 */
import * as Fx from "@composable-ts/core/Fx"
import * as Source from "@composable-ts/core/Source"
import * as Task from "@composable-ts/core/Task"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Formatter from "effect/Formatter"
import * as Stream from "effect/Stream"
import { equal } from "./differences.ts"

/** What takes its time. */
type Lasting = Extract<Fx.AnyFx, { readonly _tag: "Perform" | "Subscribe" | "Delay" }>

interface Wanted {
  readonly fx: Lasting
  readonly by: string
}

/** Something under way. */
export interface Running {
  /** In words. */
  readonly what: string
  /** The action, if it is known. */
  readonly by: string | undefined
  readonly kind: "task" | "source" | "timer"
}

/** What a description comes down to. */
export const leavesOf = (fx: Fx.AnyFx): ReadonlyArray<Exclude<Fx.AnyFx, { readonly fx: unknown }>> =>
  "fx" in fx ? fx.fx.flatMap((member) => leavesOf(member)) : [fx]

const isLasting = (fx: Fx.AnyFx): fx is Lasting =>
  fx._tag === "Perform" || fx._tag === "Subscribe" || fx._tag === "Delay"

const sameId = (one: Lasting, other: Lasting): boolean =>
  one.id !== null && one.id === other.id && JSON.stringify(one.at) === JSON.stringify(other.at)

/** More than a test looks back. */
const mostRemembered = 1000

export class UnderWay {
  /** Wanted, and not begun yet. */
  #wanted: Array<Wanted> = []
  /** Begun, also if it has ended: for naming what a problem came from. */
  readonly #begun: Array<Wanted> = []
  #running = new Set<Running>()

  /** Takes note of what an action wants done. */
  want(fx: Fx.AnyFx, by: string): void {
    for (const leaf of leavesOf(fx)) {
      if (!isLasting(leaf)) continue
      this.#wanted = this.#wanted.filter((other) => !sameId(other.fx, leaf))
      this.#wanted.push({ fx: leaf, by })
    }
  }

  get running(): ReadonlyArray<Running> {
    return [...this.#running]
  }

  /** No longer counts what is under way now. */
  forget(): void {
    this.#running = new Set()
  }

  /** The action that wanted a task or source begun with this input. */
  startedBy(name: string, input: unknown): string | undefined {
    return this.#begun.findLast(({ fx }) => isOf(fx, name) && equal(fx.input, input))?.by
  }

  /** The context in which the handlers, and the clock, say what they have to do. */
  observing<R>(context: Context.Context<R>): Context.Context<R> {
    const services = new Map<string, unknown>(context.mapUnsafe)
    for (const [key, service] of services) {
      if (key.startsWith(Task.handlerKey(""))) {
        const name = key.slice(Task.handlerKey("").length)
        services.set(key, this.#task(name, service as Task.Perform<Task.AnyTask>))
      } else if (key.startsWith(Source.handlerKey(""))) {
        const name = key.slice(Source.handlerKey("").length)
        services.set(key, this.#source(name, service as Source.Open<Source.AnySource>))
      }
    }
    const observed = Context.makeUnsafe<R>(services)
    return Context.add(observed, Clock.Clock, this.#clock(Context.get(context, Clock.Clock))) as Context.Context<R>
  }

  #task(name: string, perform: Task.Perform<Task.AnyTask>): Task.Perform<Task.AnyTask> {
    return (input) => Effect.suspend(() => Effect.ensuring(perform(input), this.#begin("task", name, input)))
  }

  #source(name: string, open: Source.Open<Source.AnySource>): Source.Open<Source.AnySource> {
    return (input) => Stream.suspend(() => Stream.ensuring(open(input), this.#begin("source", name, input)))
  }

  #clock(clock: Clock.Clock): Clock.Clock {
    return {
      ...clock,
      sleep: (duration) =>
        Effect.suspend(() => {
          const millis = Duration.toMillis(duration)
          const wanted = this.#take(({ fx }) => fx._tag === "Delay" && fx.millis === millis)
          if (wanted === undefined) return clock.sleep(duration)
          const due = clock.currentTimeMillisUnsafe() + millis
          return Effect.ensuring(
            clock.sleep(duration),
            this.#run({ what: `${Fx.render(wanted.fx)}, due at ${due} ms`, by: wanted.by, kind: "timer" })
          )
        })
    }
  }

  /** Something begins; yields what to run at its end. */
  #begin(kind: "task" | "source", name: string, input: unknown): Effect.Effect<void> {
    const wanted = this.#take(({ fx }) => isOf(fx, name) && fx.input === input) ??
      this.#take(({ fx }) => isOf(fx, name) && equal(fx.input, input))
    const what = wanted === undefined
      ? `${kind === "task" ? "perform" : "subscribe to"} ${name} ${Formatter.format(input)}`
      : Fx.render(wanted.fx)
    return this.#run({ what, by: wanted?.by, kind })
  }

  #run(running: Running): Effect.Effect<void> {
    const all = this.#running
    all.add(running)
    return Effect.sync(() => {
      all.delete(running)
    })
  }

  #take(is: (wanted: Wanted) => boolean): Wanted | undefined {
    const index = this.#wanted.findIndex(is)
    if (index === -1) return undefined
    const [wanted] = this.#wanted.splice(index, 1)
    this.#begun.push(wanted!)
    if (this.#begun.length > mostRemembered) this.#begun.shift()
    return wanted
  }
}

const isOf = (fx: Lasting, name: string): fx is Exclude<Lasting, { readonly _tag: "Delay" }> =>
  (fx._tag === "Perform" && fx.task === name) || (fx._tag === "Subscribe" && fx.source === name)
