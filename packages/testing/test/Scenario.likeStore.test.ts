/**
 * A story's simulation and the live store agree, whatever a feature wants done and however the world answers.
 */
import * as ActionOf from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as Compose from "@composable-ts/core/Compose"
import * as Event from "@composable-ts/core/Event"
import { EventBus } from "@composable-ts/core/EventBus"
import * as Fx from "@composable-ts/core/Fx"
import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
import * as Reducer from "@composable-ts/core/Reducer"
import * as Source from "@composable-ts/core/Source"
import * as Store from "@composable-ts/core/Store"
import * as Task from "@composable-ts/core/Task"
import { assert, it } from "@effect/vitest"
import { Arbitrary, Clock, Effect, HashMap, Layer, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import { differences, equal } from "../src/internal/differences.ts"
import { holdsForAll } from "../src/internal/property.ts"
import { act, type Deed } from "../src/internal/scenario/Deed.ts"
import { machineOf } from "../src/internal/scenario/Machine.ts"
import { Simulation } from "../src/internal/scenario/Simulation.ts"
import type { Leaf, Reduction } from "../src/internal/scenario/underWay.ts"

/** What a feature may want done, and what that leads to, without the names. */
type Plan =
  | { readonly do: "nothing" | "cancelAll" | "publish" | "refuse" }
  | { readonly do: "cancel"; readonly id: number }
  | { readonly do: "send" | "run"; readonly next: Plan }
  | { readonly do: "delay" | "throttle"; readonly id: number; readonly millis: number; readonly next: Plan }
  | { readonly do: "perform" | "subscribe"; readonly id: number; readonly next: Plan; readonly otherwise: Plan }
  | { readonly do: "all" | "sequential"; readonly plans: ReadonlyArray<Plan> }
  | { readonly do: "parallel"; readonly most: number; readonly plans: ReadonlyArray<Plan> }

/** What comes from outside: an action, the end of something under way, a value of a source, time. */
type Step =
  | { readonly step: "send"; readonly part: number; readonly plan: Plan }
  | { readonly step: "close" }
  | { readonly step: "end" | "fail" | "die" | "value"; readonly index: number }
  | { readonly step: "advance"; readonly millis: number }

/**
 * Where a plan stands: on its own, in a sequence, or among several at once. Members of such groups leave each other alone
 * while they begin: what becomes of a group that its own beginning ends is not compared here.
 */
type Place = "alone" | "in a sequence" | "at once"

/** The id of what nothing else has the id of. */
const lone = -1

/** A choice that follows from a seed; schemas alone make plans too shallow for groups within groups. */
class Chance {
  #seed: number
  constructor(seed: number) {
    this.#seed = seed
  }
  /** From 0 up to, without, `bound`: the mulberry32 generator. */
  below(bound: number): number {
    this.#seed = (this.#seed + 0x6d2b79f5) | 0
    let t = Math.imul(this.#seed ^ (this.#seed >>> 15), 1 | this.#seed)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * bound)
  }
  of<A>(...choices: readonly [A, ...ReadonlyArray<A>]): A {
    return choices[this.below(choices.length)]!
  }
}

const anyCancel = (chance: Chance): Plan =>
  chance.below(4) === 0 ? { do: "cancelAll" } : { do: "cancel", id: 1 + chance.below(2) }

const anyPlan = (chance: Chance, depth: number, place: Place = "alone"): Plan => {
  const within = place === "at once"
  const inner = () => anyPlan(chance, depth - 1)
  const several = (at: Place) => Array.from({ length: 2 + chance.below(3) }, () => anyPlan(chance, depth - 1, at))
  const sequence = within ? place : "in a sequence"
  const cancel = () => anyCancel(chance)
  if (depth === 0) return within || chance.below(4) > 0 ? { do: "publish" } : cancel()
  const choice = within ? 7 + chance.below(11) : chance.below(18)
  switch (choice) {
    case 0:
      // One anywhere refuses the whole, so they are rare.
      return { do: chance.of("nothing", "publish", "nothing", "refuse") }
    case 1:
      return cancel()
    case 2:
    case 3:
      return { do: "send", next: inner() }
    case 4:
    case 5:
    case 6:
      return { do: "throttle", id: chance.below(3), millis: chance.of(1, 2, 3, 5), next: inner() }
    case 7:
      return { do: "run", next: inner() }
    case 8:
      return { do: "delay", id: within ? lone : chance.below(3), millis: chance.of(1, 2, 3, 5), next: inner() }
    case 9:
    case 10:
    case 11:
      return { do: "perform", id: within ? lone : chance.below(3), next: inner(), otherwise: inner() }
    case 12:
    case 13:
      return { do: "subscribe", id: within ? lone : chance.below(3), next: inner(), otherwise: inner() }
    case 14:
    case 15:
      return { do: "sequential", plans: several(sequence) }
    case 16:
      return { do: "all", plans: several(place === "alone" ? place : "at once") }
    default: {
      const most = 1 + chance.below(2)
      return { do: "parallel", most, plans: several(most > 1 ? "at once" : sequence) }
    }
  }
}

const stepOf = (seed: number, depth: number): Step => {
  const chance = new Chance(seed)
  switch (chance.below(20)) {
    case 0:
      return { step: "close" }
    case 1:
    case 2:
      return { step: "value", index: chance.below(4) }
    case 3:
    case 4:
    case 5:
    case 6:
    case 7:
      return { step: "end", index: chance.below(4) }
    case 8:
      return { step: "fail", index: chance.below(4) }
    case 9:
      return { step: "die", index: chance.below(4) }
    case 10:
    case 11:
      return { step: "advance", millis: chance.of(1, 2, 4, 7) }
    case 12:
    case 13:
      return { step: "send", part: chance.below(5), plan: anyCancel(chance) }
    default:
      return { step: "send", part: chance.below(5), plan: anyPlan(chance, depth) }
  }
}

interface Do {
  readonly _tag: "Do"
  readonly name: string
  readonly fx: Wanted
}
type Action = Do | { readonly _tag: "Close" }
interface Asked {
  readonly name: string
  readonly next: Action
  readonly otherwise: Action
}
type Wanted = Fx.AnyFx

const Work = Task.define("Work", {
  input: Schema.Unknown as never as Schema.Codec<Asked, unknown>,
  success: Schema.Null,
  failure: Schema.Null
})
const Feed = Source.define("Feed", {
  input: Schema.Unknown as never as Schema.Codec<Asked, unknown>,
  value: Schema.Null,
  failure: Schema.Null
})

type WantedHere = Fx.Nested<
  | Fx.None
  | Fx.Reject<{ readonly _tag: "No" }>
  | Fx.Send<Action>
  | Fx.Perform<typeof Work>
  | Fx.Subscribe<typeof Feed>
  | Fx.Publish
  | Fx.Run<Action, never>
  | Fx.Delay<Action>
  | Fx.Throttle<Action>
  | Fx.Cancel
  | Fx.CancelAll
>

const part = Reducer.withOutcomes(
  (
    state: ReadonlyArray<string> | null,
    action: Action,
    { time }
  ): Reducer.Step<ReadonlyArray<string> | null, WantedHere> =>
    action._tag === "Close"
      ? [null, Fx.none]
      : [[...state ?? [], `${action.name}@${time}`], action.fx as WantedHere],
  {
    Work: { success: (_: null, input: Asked) => input.next, failure: (_: null, input: Asked) => input.otherwise },
    Feed: {
      value: (_: null, input: Asked) => input.next,
      failure: (_: null, input: Asked) => input.otherwise,
      end: (input: Asked) => input.otherwise
    }
  }
)
const whole = Compose.compose({
  left: part,
  right: part,
  many: Compose.each(part),
  some: Compose.optional(part)
})
const wholeInitial: Reducer.StateOf<typeof whole> = {
  left: [],
  right: [],
  many: HashMap.make(["1", [] as ReadonlyArray<string> | null], ["2", [] as ReadonlyArray<string> | null]),
  some: []
}
const places = [
  (action: Action) => ({ _tag: "left" as const, action }),
  (action: Action) => ({ _tag: "right" as const, action }),
  (action: Action) => ({ _tag: "many" as const, id: "1", action }),
  (action: Action) => ({ _tag: "many" as const, id: "2", action }),
  (action: Action) => ({ _tag: "some" as const, action })
]

/** Something that the live store waits for. */
interface Pending {
  readonly name: string
  readonly end: (how: "end" | "fail" | "die") => void
  readonly value: (() => void) | undefined
}

/** Names all that a script wants done, each its own name, and has what runs live wait in `pending`. */
class Naming {
  readonly pending = new Set<Pending>()
  readonly runs = new Map<Effect.Effect<unknown, never, unknown>, Action>()
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

/** What became of a script. */
interface Course {
  /** Each action that was reduced, and when. */
  readonly reduced: ReadonlyArray<string>
  readonly state: unknown
  readonly stopped: ReadonlyArray<string>
  /** What waits for an answer. */
  readonly waiting: ReadonlyArray<string>
}

type Wrapped = Reducer.ActionOf<typeof whole>
const sketch = ({ action, ...place }: Wrapped, time: number): string =>
  `${JSON.stringify(place)} ${action._tag === "Do" ? action.name : "close"} @${time}`

/** The name under which the live store's side waits for it. */
const nameOf = (naming: Naming, { fx }: Leaf): string => {
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

const deedOf = (naming: Naming, step: "end" | "fail" | "die" | "value", { fx }: Leaf): Deed | undefined => {
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

const agree = (subject: "alone" | "composed", steps: ReadonlyArray<Step>) =>
  Effect.scoped(Effect.gen(function*() {
    const naming = new Naming()
    const clock = yield* Clock.Clock
    const begun = clock.currentTimeMillisUnsafe()
    const wrap = (place: number, action: Action): Wrapped =>
      subject === "composed" ? places[place]!(action) : action as never as Wrapped
    const unwrap = (action: unknown): Wrapped =>
      subject === "composed" ? action as Wrapped : { _tag: "left", action: action as Action }
    const reducer = (subject === "composed" ? whole : part) as typeof whole
    const initial = subject === "composed" ? wholeInitial : [] as never as typeof wholeInitial

    const live: Array<string> = []
    const told: typeof whole = Object.assign(
      (state: never, action: never, meta: never) => {
        live.push(sketch(unwrap(action), (meta as { readonly time: number }).time))
        return reducer(state, action, meta)
      },
      reducer
    )
    const store = yield* Effect.provide(
      Store.make(told, { initial, deadline: 0 }),
      Layer.mergeAll(
        Task.layer(Work, ({ name }) => naming.wait(name)),
        Source.layer(Feed, ({ name }) => naming.feed(name)),
        Layer.succeed(EventBus, {
          publish: (_topic, { type }) => Effect.orDie(naming.wait(`publish ${type}`)),
          listen: () => Effect.die("nobody listens"),
          subscribe: () => Stream.die("nobody listens")
        })
      )
    )
    const stopped: Array<string> = []
    yield* Effect.forkScoped(Stream.runForEach(store.problems({ capacity: 10_000 }), (problem) =>
      Effect.sync(() => {
        if (problem._tag === "SequenceStopped") stopped.push(`${problem.failed}: ${problem.left.join("; ")}`)
      })))
    const quiet = Effect.gen(function*() {
      for (let i = 0; i < 30; i++) yield* Effect.yieldNow
    })
    yield* quiet

    const machine = machineOf(reducer)
    const simulation = new Simulation(machine, initial, begun)
    const simulated: Array<string> = []
    const note = ({ action }: Reduction, time: number) => {
      simulated.push(sketch(unwrap(action), time))
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
          const action = step.step === "send" ? wrap(step.part, naming.action(step.plan)) : wrap(4, { _tag: "Close" })
          note(simulation.send(action, { step: "", site: {} }), simulation.now)
          yield* Effect.exit(store.dispatch(action))
          break
        }
        case "advance":
          simulation.advance(step.millis)
          yield* TestClock.adjust(step.millis)
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
        reduced: live,
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
  }))

const Length = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 30 }))
const Depth = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 5 }))
const scripts = Arbitrary.map(
  Arbitrary.schema(Schema.Struct({ seed: Schema.Int, length: Length, depth: Depth })),
  ({ depth, length, seed }) => Array.from({ length }, (_, index) => stepOf(seed * 31 + index * 7919, depth))
)

const runs = 500

it.effect("a reducer", () => holdsForAll(scripts, (steps) => agree("alone", steps), runs))
it.effect("a composed feature", () => holdsForAll(scripts, (steps) => agree("composed", steps), runs))

const Order = ActionOf.define("Order", {
  commands: { Place: {}, Paid: {}, Declined: {}, Remind: {} },
  events: { Placed: Event.v1({}), Confirmed: Event.v1({}), Cancelled: Event.v1({}), Reminded: Event.v1({}) }
})
const Charge = Task.define("Charge", { input: Schema.Null, success: Schema.Null, failure: Schema.Null })

/** Charges twice, one after the other, and reminds every second until it is paid. */
const order = Aggregate.define(Order, {
  initial: [] as ReadonlyArray<string>,
  decide: (state, command) => {
    switch (command._tag) {
      case "Place":
        return Fx.append(Order.Placed())
      case "Paid":
        return state.includes("Confirmed") ? Fx.none : Fx.append(Order.Confirmed())
      case "Declined":
        return Fx.append(Order.Cancelled())
      case "Remind":
        return Fx.append(Order.Reminded())
    }
  },
  evolve: (state, event): ReadonlyArray<string> => [...state, event._tag],
  react: (_state, event) => {
    switch (event._tag) {
      case "Placed":
        return Fx.all(
          Fx.sequential(Fx.perform(Charge, null, { id: "first" }), Fx.perform(Charge, null, { id: "second" })),
          Fx.delay("remind", 1_000, Order.Remind())
        )
      case "Reminded":
        return Fx.delay("remind", 1_000, Order.Remind())
      case "Confirmed":
      case "Cancelled":
        return Fx.cancel("remind")
    }
  },
  outcomes: { Charge: { success: () => Order.Paid(), failure: () => Order.Declined() } }
})

type Happening = "end" | "fail" | "wait"

it.effect.each<{ readonly happenings: ReadonlyArray<Happening> }>([
  { happenings: ["end", "end"] },
  { happenings: ["wait", "end", "wait", "end", "wait"] },
  { happenings: ["wait", "wait", "fail", "wait"] },
  { happenings: ["end", "fail", "wait"] }
])("an aggregate: $happenings", ({ happenings }) =>
  Effect.scoped(Effect.gen(function*() {
    const naming = new Naming()
    const orders = yield* Effect.provide(
      Store.aggregate(order, { deadline: 0 }),
      Layer.merge(MemoryEventStore.layer, Task.layer(Charge, () => naming.wait("charge")))
    )
    const machine = machineOf(order)
    const simulation = new Simulation(machine, order.initial, 0)
    const receiveAll = () => {
      while (simulation.inbox.length > 0) simulation.receive(simulation.inbox[0]!)
    }
    simulation.send(Order.Place(), { step: "", site: {} })
    yield* orders.dispatch("1", Order.Place())
    for (const happening of happenings) {
      if (happening === "wait") {
        simulation.advance(2_500)
        receiveAll()
        yield* TestClock.adjust(2_500)
      } else {
        const leaf = simulation.underWay.find(({ fx }) => fx._tag === "Perform")!
        const ending = happening === "end" ? { success: null } : { failure: null }
        act(machine, simulation, { _tag: "Answer", name: "Charge", which: {}, meant: { input: null }, ending }, leaf)
        receiveAll()
        const [pending] = naming.pending
        pending!.end(happening)
        for (let i = 0; i < 30; i++) yield* Effect.yieldNow
      }
      // Its state is all its events, in their order.
      const { state } = yield* orders.state("1")
      assert.deepStrictEqual<unknown>(simulation.state, state)
      assert.strictEqual(simulation.underWay.filter(({ fx }) => fx._tag === "Perform").length, naming.pending.size)
    }
  })))
