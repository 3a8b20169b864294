/**
 * The world of a script: the task and the source that its features ask for, and what of them waits live for an answer.
 */
import { EventBus } from "@composable-ts/core/EventBus"
import * as Fx from "@composable-ts/core/Fx"
import * as Source from "@composable-ts/core/Source"
import * as Task from "@composable-ts/core/Task"
import { Effect, Layer, Schema, Stream } from "effect"
import type { Deed } from "../../src/internal/scenario/Deed.ts"
import type { Leaf } from "../../src/internal/scenario/underWay.ts"
import { lone, type Plan } from "./Script.ts"

/** The action of a script. */
export interface Do {
  readonly _tag: "Do"
  readonly name: string
  readonly fx: Wanted
}
export type Action = Do | { readonly _tag: "Close" }
/** What a task or a source is asked for. */
export interface Asked {
  readonly name: string
  readonly next: Action
  readonly otherwise: Action
}
export type Wanted = Fx.AnyFx

export const Work = Task.define("Work", {
  input: Schema.Unknown as never as Schema.Codec<Asked, unknown>,
  success: Schema.Null,
  failure: Schema.Null
})
export const Feed = Source.define("Feed", {
  input: Schema.Unknown as never as Schema.Codec<Asked, unknown>,
  value: Schema.Null,
  failure: Schema.Null
})
/** Something that the live store waits for. */
interface Pending {
  readonly name: string
  readonly end: (how: "end" | "fail" | "die") => void
  readonly value: (() => void) | undefined
}

/** Names all that a script wants done, each its own name, and has what runs live wait in `pending`. */
export class Naming {
  readonly pending = new Set<Pending>()
  readonly runs = new Map<Effect.Effect<unknown, never, unknown>, Action>()
  /** What an aggregate wants done because of an event, by the event's name. */
  readonly reactions = new Map<string, Wanted>()
  #made = 0

  #id(id: number): string {
    return id === lone ? `lone ${this.#made++}` : `${id}`
  }

  action(plan: Plan): Do {
    const name = `${this.#made++}`
    const action: Do = { _tag: "Do", name, fx: this.fx(plan) }
    return action
  }

  fx(plan: Plan): Wanted {
    switch (plan.do) {
      case "nothing":
        return Fx.none
      case "cancelAll":
        return Fx.cancelAll
      case "cancel":
        return Fx.cancel(`${plan.id}`)
      case "refuse":
        return Fx.reject({ _tag: "No" })
      case "publish":
        return Fx.publish("topic", { type: `${this.#made++}`, data: null } as never)
      case "append": {
        const name = `${this.#made++}`
        this.reactions.set(name, this.fx(plan.reaction))
        return Fx.append({ _tag: "Done", name })
      }
      case "send":
        return Fx.send(this.action(plan.next))
      case "run": {
        const action = this.action(plan.next)
        const effect = Effect.orDie(Effect.as(this.wait(`run ${action.name}`), action))
        this.runs.set(effect, action)
        return Fx.run(effect)
      }
      case "delay":
        return Fx.delay(this.#id(plan.id), plan.millis, this.action(plan.next))
      case "throttle":
        return Fx.throttle(`${plan.id}`, plan.millis, this.action(plan.next))
      case "perform":
        return Fx.perform(Work, this.#asked("work", plan), plan.id === 0 ? {} : { id: this.#id(plan.id) })
      case "subscribe":
        return Fx.subscribe(Feed, this.#asked("feed", plan), this.#id(plan.id))
      case "all":
        return Fx.all(...plan.plans.map((inner) => this.fx(inner)))
      case "sequential":
        return Fx.sequential(...plan.plans.map((inner) => this.fx(inner)))
      case "parallel":
        return Fx.parallel(plan.most, ...plan.plans.map((inner) => this.fx(inner)))
    }
  }

  #asked(kind: string, plan: { readonly next: Plan; readonly otherwise: Plan }): Asked {
    const name = `${kind} ${this.#made++}`
    return { name, next: this.action(plan.next), otherwise: this.action(plan.otherwise) }
  }

  wait(name: string): Effect.Effect<null, null> {
    return Effect.callback((resume) => {
      const pending: Pending = {
        name,
        end: (how) => {
          this.pending.delete(pending)
          resume(how === "end" ? Effect.succeed(null) : how === "fail" ? Effect.fail(null) : Effect.die("dead"))
        },
        value: undefined
      }
      this.pending.add(pending)
      return Effect.sync(() => this.pending.delete(pending))
    })
  }

  /** Each pull of a subscription waits anew. */
  feed(name: string): Stream.Stream<null, null> {
    const next: Effect.Effect<"value" | "end", null> = Effect.callback((resume) => {
      const settle = (effect: Effect.Effect<"value" | "end", null>) => {
        this.pending.delete(pending)
        resume(effect)
      }
      const pending: Pending = {
        name,
        end: (how) =>
          settle(how === "end" ? Effect.succeed("end") : how === "fail" ? Effect.fail(null) : Effect.die("dead")),
        value: () => settle(Effect.succeed("value"))
      }
      this.pending.add(pending)
      return Effect.sync(() => this.pending.delete(pending))
    })
    return Stream.unfold(null, () => Effect.map(next, (what) => what === "end" ? undefined : [null, null] as const))
  }
}

/** What carries out the effects of a live store: each waits in `pending` until the script ends it. */
export const handlersOf = (naming: Naming) =>
  Layer.mergeAll(
    Task.layer(Work, ({ name }) => naming.wait(name)),
    Source.layer(Feed, ({ name }) => naming.feed(name)),
    Layer.succeed(EventBus, {
      publish: (_topic, { type }) => Effect.orDie(naming.wait(`publish ${type}`)),
      listen: () => Effect.die("nobody listens"),
      subscribe: () => Stream.die("nobody listens"),
      consume: () => Effect.die("nobody listens")
    })
  )

/** The name under which the live store's side waits for it. */
export const nameOf = (naming: Naming, { fx }: Leaf): string => {
  switch (fx._tag) {
    case "Perform":
    case "Subscribe":
      return (fx.input as Asked).name
    case "Run":
      return `run ${(naming.runs.get(fx.effect) as Do).name}`
    case "Publish":
      return `publish ${fx.event.type}`
    default:
      return fx._tag
  }
}

export const deedOf = (naming: Naming, step: "end" | "fail" | "die" | "value", { fx }: Leaf): Deed | undefined => {
  const which = {}
  switch (fx._tag) {
    case "Perform":
      return step === "value"
        ? undefined
        : step === "die"
        ? { _tag: "Break", fx, which }
        : {
          _tag: "Answer",
          name: fx.task,
          which,
          meant: { input: fx.input },
          ending: step === "end" ? { success: null } : { failure: null }
        }
    case "Subscribe":
      return step === "die"
        ? { _tag: "Break", fx, which }
        : step === "value"
        ? { _tag: "Yield", name: fx.source, which, values: [null] }
        : step === "end"
        ? { _tag: "End", name: fx.source, which }
        : { _tag: "Fail", name: fx.source, which, error: null }
    case "Run":
      return step === "value"
        ? undefined
        : step === "end"
        ? { _tag: "Ran", which, action: naming.runs.get(fx.effect) }
        : { _tag: "Break", fx, which }
    default:
      if (step === "value") return undefined
      return { _tag: step === "end" ? "Complete" : "Break", fx, which }
  }
}
