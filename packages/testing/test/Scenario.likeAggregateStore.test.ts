/**
 * A story's simulation of an aggregate and the live store of its instances agree, whatever its commands and events lead
 * to and however the world answers.
 */
import * as ActionOf from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as Event from "@composable-ts/core/Event"
import { EventStore } from "@composable-ts/core/EventStore"
import type * as Fx from "@composable-ts/core/Fx"
import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
import * as Store from "@composable-ts/core/Store"
import { it } from "@effect/vitest"
import { Effect, Layer, Schema, type Scope, Stream } from "effect"
import { holdsForAll } from "../src/internal/property.ts"
import { machineOf } from "../src/internal/scenario/Machine.ts"
import { agree, type Subject } from "./likeStore/Agreement.ts"
import { scripts } from "./likeStore/Script.ts"
import { type Asked, type Do, type Feed, handlersOf, Naming, type Work } from "./likeStore/World.ts"

const Course = ActionOf.define("Course", {
  commands: { Do: { name: Schema.String, fx: Schema.Unknown as never as Schema.Codec<Fx.AnyFx, unknown> } },
  events: { Done: Event.v1({ name: Schema.String }) }
})
type Command = ActionOf.CommandOf<typeof Course>
type Recorded = ActionOf.EventOf<typeof Course>

type Besides =
  | Fx.None
  | Fx.Send<Command>
  | Fx.Perform<typeof Work>
  | Fx.Subscribe<typeof Feed>
  | Fx.Publish
  | Fx.Delay<Command>
  | Fx.Throttle<Command>
  | Fx.Cancel
  | Fx.CancelAll
type Decided = Fx.Nested<Besides | Fx.Append<Recorded> | Fx.Reject<{ readonly _tag: "No" }>>

/** Its state is the names of all its events, in their order. */
const courseOf = (naming: Naming) =>
  Aggregate.define(Course, {
    initial: [] as ReadonlyArray<string>,
    decide: (_state, { fx }) => fx as Decided,
    evolve: (state, { name }): ReadonlyArray<string> => [...state, name],
    react: (_state, { name }) => naming.reactions.get(name) as Fx.Nested<Besides>,
    outcomes: {
      Work: {
        success: (_: null, { next }: Asked) => next as Do,
        failure: (_: null, { otherwise }: Asked) => otherwise as Do
      },
      Feed: {
        value: (_: null, { next }: Asked) => next as Do,
        failure: (_: null, { otherwise }: Asked) => otherwise as Do,
        end: ({ otherwise }: Asked) => otherwise as Do
      }
    }
  })

/** It answers at once, so a command is decided before whoever fed it goes on. */
const promptLog = MemoryEventStore.layer

/** Like any store but one in memory, it answers later. */
const laterLog = Layer.effect(
  EventStore,
  Effect.map(MemoryEventStore.make, (store) => ({
    ...store,
    append: (...append) => Effect.andThen(Effect.yieldNow, store.append(...append)),
    load: (...load) => Stream.unwrap(Effect.as(Effect.yieldNow, store.load(...load)))
  }))
)

const sketch = ({ name }: Command, time: number): string => `${name} @${time}`

const subjectOf = (naming: Naming, log: Layer.Layer<EventStore>): Subject<Scope.Scope> => {
  const course = courseOf(naming)
  return {
    machine: machineOf(course),
    initial: course.initial,
    live: () =>
      Effect.gen(function*() {
        const reduced: Array<string> = []
        /** A store may decide a command again, on a state that it has read. */
        const decided = new Set<string>()
        const telling: typeof course = {
          ...course,
          decide: (state, command, meta) => {
            if (!decided.has(meta.id)) reduced.push(sketch(command, meta.time))
            decided.add(meta.id)
            return course.decide(state, command, meta)
          }
        }
        const store = yield* Effect.provide(
          Store.aggregate(telling, { deadline: 0 }),
          Layer.merge(log, handlersOf(naming))
        )
        return {
          send: (command) => store.dispatch("1", command as Command),
          state: Effect.orDie(Effect.map(store.state("1"), ({ state }) => state)),
          problems: store.problems,
          reduced
        }
      }),
    asks: (naming, _part, plan) => naming.action(plan),
    closes: undefined,
    sketch: (action, time) => sketch(action as Command, time),
    standing: " within course(1)"
  }
}

const runs = Number(process.env["AGREEMENT_RUNS"] ?? 500)

const agrees = (log: Layer.Layer<EventStore>) =>
  holdsForAll(scripts("decision"), (steps) => {
    const naming = new Naming()
    return Effect.scoped(agree(subjectOf(naming, log), steps, naming))
  }, runs)

it.effect("an aggregate whose store answers at once", () => agrees(promptLog))

it.effect("an aggregate whose store answers later", () => agrees(laterLog))
