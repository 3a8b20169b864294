/**
 * Follows a script in a simulation and in a live store, and compares the two after every step.
 */
import * as Fx from "@composable-ts/core/Fx"
import type { Problem } from "@composable-ts/core/StoreError"
import { assert } from "@effect/vitest"
import { Clock, Effect, type Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { differences, equal } from "../../src/internal/differences.ts"
import { act } from "../../src/internal/scenario/Deed.ts"
import type { Machine } from "../../src/internal/scenario/Machine.ts"
import { Simulation } from "../../src/internal/scenario/Simulation.ts"
import type { Reduction } from "../../src/internal/scenario/underWay.ts"
import type { Plan, Step } from "./Script.ts"
import { deedOf, nameOf, type Naming } from "./World.ts"

/** What became of a script. */
interface Course {
  /** Each action that was reduced, and when. */
  readonly reduced: ReadonlyArray<string>
  readonly state: unknown
  readonly stopped: ReadonlyArray<string>
  /** What waits for an answer. */
  readonly waiting: ReadonlyArray<string>
}

/** A store in which the script happens. */
export interface Live {
  readonly send: (action: unknown) => Effect.Effect<unknown, unknown>
  readonly state: Effect.Effect<unknown>
  readonly problems: Stream.Stream<Problem>
  /** Each action that was reduced, and when, as `sketch` says it. */
  readonly reduced: ReadonlyArray<string>
}

/** A feature that scripts are about. */
export interface Subject<R> {
  readonly machine: Machine
  readonly initial: unknown
  readonly live: (naming: Naming) => Effect.Effect<Live, never, R>
  /** The action that wants a plan done of one of its parts. */
  readonly asks: (naming: Naming, part: number, plan: Plan) => unknown
  /** The action that ends a part with all that it has under way, if there are such parts. */
  readonly closes: unknown
  readonly sketch: (action: unknown, time: number) => string
  /** What the live store says of where an effect stands, and a story does not: the instance. */
  readonly standing: string
}

const quiet = Effect.gen(function*() {
  for (let i = 0; i < 30; i++) yield* Effect.yieldNow
})

/** Time passes bit by bit: what a timer sends may take the store a while, and time stands still for it in a story. */
const advance = (millis: number) =>
  Effect.gen(function*() {
    for (let i = 0; i < millis; i++) {
      yield* TestClock.adjust(1)
      yield* quiet
    }
  })

/** Fails when the two do not agree after a step. */
export const agree = <R>(
  { asks, closes, initial, live, machine, sketch, standing }: Subject<R>,
  steps: ReadonlyArray<Step>,
  naming: Naming
): Effect.Effect<void, never, R | Scope.Scope> =>
  Effect.gen(function*() {
    const clock = yield* Clock.Clock
    const begun = clock.currentTimeMillisUnsafe()
    const store = yield* live(naming)
    const stopped: Array<string> = []
    yield* Effect.forkScoped(Stream.runForEach(store.problems, (problem) =>
      Effect.sync(() => {
        if (problem._tag === "SequenceStopped") {
          stopped.push(`${problem.failed}: ${problem.left.join("; ")}`.replaceAll(standing, ""))
        }
      })))
    yield* quiet

    const simulation = new Simulation(machine, initial, begun)
    const simulated: Array<string> = []
    const note = ({ action }: Reduction, time: number) => {
      simulated.push(sketch(action, time))
    }
    const receiveAll = () => {
      while (simulation.inbox.length > 0) {
        const { now } = simulation
        note(simulation.receive(simulation.inbox[0]!), now)
      }
    }
    const answerable = () => simulation.underWay.filter(({ fx }) => fx._tag !== "Delay")

    for (const [index, step] of steps.entries()) {
      switch (step.step) {
        case "send":
        case "close": {
          const action = step.step === "send" ? asks(naming, step.part, step.plan) : closes
          if (action === undefined) break
          note(simulation.send(action, { step: "", site: {} }), simulation.now)
          yield* Effect.exit(store.send(action))
          break
        }
        case "advance":
          simulation.advance(step.millis)
          yield* advance(step.millis)
          break
        default: {
          const leaf = answerable()[step.index]
          const deed = leaf === undefined ? undefined : deedOf(naming, step.step, leaf)
          if (leaf === undefined || deed === undefined) break
          const name = nameOf(naming, leaf)
          const nth = answerable().filter((other) => nameOf(naming, other) === name).indexOf(leaf)
          const pending = [...naming.pending].filter((other) => other.name === name)[nth]
          assert.isDefined(pending, `step ${index}: ${name} does not wait live`)
          if (deed._tag !== "Send" && deed._tag !== "Advance") act(machine, simulation, deed, leaf)
          if (step.step === "value") pending!.value?.()
          else pending!.end(step.step)
        }
      }
      receiveAll()
      yield* quiet
      const waiting = answerable().map((leaf) => nameOf(naming, leaf)).toSorted()
      const simulatedCourse: Course = {
        reduced: simulated,
        state: simulation.state,
        stopped: simulation.stopped.map(({ failed, left }) =>
          `${Fx.render(failed)}: ${left.map(Fx.render).join("; ")}`
        ),
        waiting
      }
      const liveCourse: Course = {
        reduced: store.reduced,
        state: yield* store.state,
        stopped,
        // What is published on its own is not waited for, and so not simulated.
        waiting: [...naming.pending].map(({ name }) => name)
          .filter((name) => !name.startsWith("publish") || waiting.includes(name)).toSorted()
      }
      if (!equal(simulatedCourse, liveCourse)) {
        assert.fail(`after step ${index}:\n${differences(liveCourse, simulatedCourse).join("\n")}`)
      }
    }
  })
