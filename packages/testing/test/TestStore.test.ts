import { Action, Aggregate, Compose, Event, Fx, MemoryEventStore, Reducer, Source, Task } from "@composable-ts/core"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Queue, Schedule, Schema, Stream } from "effect"
import * as TestStore from "../src/TestStore.ts"

const Find = Task.define("Find", {
  input: Schema.String,
  success: Schema.Array(Schema.String),
  failure: Schema.TaggedStruct("Unreachable", {})
})

interface Search {
  readonly text: string
  readonly hits: ReadonlyArray<string>
  readonly busy: boolean
}
type Act =
  | { readonly _tag: "Type"; readonly text: string }
  | { readonly _tag: "Stop" }
  | { readonly _tag: "Paused" }
  | { readonly _tag: "Found"; readonly hits: ReadonlyArray<string> }
  | { readonly _tag: "Failed" }

const search = Reducer.withOutcomes(
  (state: Search, action: Act) => {
    switch (action._tag) {
      case "Type":
        if (action.text.length > 9) return Reducer.step(state, Fx.reject({ _tag: "TooLong", most: 9 }))
        return Reducer.step({ ...state, text: action.text, busy: true }, Fx.delay("pause", 300, { _tag: "Paused" }))
      case "Stop":
        return Reducer.step({ ...state, busy: false }, Fx.all(Fx.cancel("find"), Fx.cancel("pause")))
      case "Paused":
        return Reducer.step(state, Fx.perform(Find, state.text, { id: "find" }))
      case "Found":
        return Reducer.step({ ...state, hits: action.hits, busy: false })
      case "Failed":
        return Reducer.step({ ...state, busy: false })
    }
  },
  { Find: { success: (hits) => ({ _tag: "Found", hits }), failure: () => ({ _tag: "Failed" }) } }
)
const initial: Search = { text: "", hits: [], busy: false }
const find = Task.layer(Find, (text) => Effect.succeed([`${text}!`]))
const Typed = (text: string): Act => ({ _tag: "Type", text })
const Paused: Act = { _tag: "Paused" }
const busy = { text: "mi", hits: [], busy: true }
const make = TestStore.make(search, { initial })

/** What a broken claim says. */
const complaint = <A, R>(test: Effect.Effect<A, TestStore.ClaimBroken, R>) =>
  Effect.map(Effect.flip(Effect.scoped(test)), ({ message }) => message)

const assertSays = (message: string, ...parts: ReadonlyArray<string>) => {
  for (const part of parts) assert.include(message, part)
}

describe("TestStore", () => {
  it.effect("tells a feature's story: sent, waited, received", () =>
    Effect.gen(function*() {
      const store = yield* make
      yield* store.send(Typed("m"), { state: { ...busy, text: "m" } })
      yield* store.advance("299 millis")
      yield* store.sendPartial(Typed("mi"), { state: { text: "mi" } })
      yield* store.advance("299 millis")
      yield* store.advance("1 millis")
      yield* store.receive(Paused)
      yield* store.receive({ _tag: "Found", hits: ["mi!"] }, { state: { text: "mi", hits: ["mi!"], busy: false } })
      yield* store.finish
    }).pipe(Effect.provide(find)))

  it.effect("claims the reason of a refusal", () =>
    Effect.gen(function*() {
      const store = yield* make
      yield* store.send(Typed("m".repeat(10)), { rejected: { _tag: "TooLong", most: 9 } })
      assertSays(
        yield* complaint(store.send(Typed("m".repeat(10)))),
        "was to be accepted, but it failed",
        "TooLong",
        "{ rejected: … }"
      )
      assertSays(
        // @ts-expect-error -- a number is no text
        yield* complaint(store.send(Typed("m".repeat(10)), { rejected: { _tag: "TooLong", most: "8" } })),
        "most: expected \"8\", got 9"
      )
      assertSays(
        yield* complaint(store.send({ _tag: "Stop" }, { rejected: { _tag: "TooLong", most: 9 } })),
        "but it was accepted",
        "guard"
      )
    }).pipe(Effect.provide(find)))

  it.effect("takes a state left out for the claim that it stays", () =>
    Effect.gen(function*() {
      const store = yield* make
      assertSays(
        yield* complaint(store.send(Typed("mi"))),
        "text: expected \"\", got \"mi\"",
        "busy: expected false, got true",
        "Leaving out `state` claims that it stays"
      )
      assertSays(
        yield* complaint(store.send(Typed("m"), { state: busy })),
        "Not the state after { \"_tag\": \"Type\"".replace("{ \"_tag\": \"Type\"", "{\"_tag\":\"Type\""),
        "text: expected \"mi\", got \"m\""
      )
      const message = yield* complaint(store.sendPartial(Typed("m"), { state: { text: "x" } }))
      assertSays(message, "text: expected \"x\", got \"m\"")
      assert.notInclude(message, "busy")
      yield* store.leave
    }).pipe(Effect.provide(find)))

  it.effect("receives strictly the next action", () =>
    Effect.gen(function*() {
      const store = yield* make
      yield* store.send(Typed("mi"), { state: busy })
      yield* store.advance("300 millis")
      assertSays(
        yield* complaint(store.receive({ _tag: "Found", hits: ["mi!"] })),
        "Not the next action to come back ({\"_tag\":\"Paused\"}, started by {\"_tag\":\"Type\",\"text\":\"mi\"})",
        "strictly in order"
      )
      assertSays(
        yield* complaint(store.receivePartial({ _tag: "Found", hits: ["mi?"] })),
        "hits[0]: expected \"mi?\", got \"mi!\""
      )
    }).pipe(Effect.provide(find)))

  it.effect("names what is not received, under way and gone wrong, and the actions that started it", () =>
    Effect.gen(function*() {
      const message = yield* complaint(Effect.gen(function*() {
        const store = yield* make
        yield* store.sendPartial(Typed("a"), { state: { text: "a" } })
        yield* store.advance("300 millis")
        yield* store.receive(Paused)
        yield* store.sendPartial(Typed("b"), { state: { text: "b" } })
        yield* store.advance("300 millis")
        yield* store.receive(Paused)
        yield* store.sendPartial(Typed("c"), { state: { text: "c" } })
        yield* store.finish
      }))
      assertSays(
        message,
        "send {\"_tag\":\"Paused\"} in 300 ms as \"pause\", due at 900 ms, started by {\"_tag\":\"Type\",\"text\":\"c\"}",
        "perform Find \"b\" as \"find\", started by {\"_tag\":\"Paused\"}",
        "TaskDefect, started by {\"_tag\":\"Paused\"}",
        "no route to a"
      )
      const waiting = yield* complaint(Effect.gen(function*() {
        const store = yield* make
        yield* store.sendPartial(Typed("c"), { state: { text: "c" } })
        yield* store.advance("300 millis")
        yield* store.finish
      }))
      assertSays(waiting, "Came back and was not received:\n  - {\"_tag\":\"Paused\"}, started by")
    }).pipe(Effect.provide(
      Task.layer(Find, (text) => text === "a" ? Effect.die(new Error("no route to a")) : Effect.never)
    )))

  it.effect("complains at the end of the scope, unless the test itself has failed", () =>
    Effect.gen(function*() {
      const unsaid = yield* Effect.exit(Effect.scoped(Effect.gen(function*() {
        const store = yield* make
        yield* store.send(Typed("mi"), { state: busy })
      })))
      assert.isTrue(Exit.isFailure(unsaid))
      if (Exit.isFailure(unsaid)) {
        assert.isTrue(Cause.hasDies(unsaid.cause))
        assertSays(Cause.pretty(unsaid.cause), "The test ends, and has left something unsaid", "as \"pause\"")
      }
      const failed = yield* Effect.exit(Effect.scoped(Effect.gen(function*() {
        const store = yield* make
        yield* store.send(Typed("mi"), { state: busy })
        return yield* Effect.fail("the test's own")
      })))
      assert.deepStrictEqual(failed, Exit.fail("the test's own"))
    }).pipe(Effect.provide(find)))

  it.effect("waits for any number of steps of a handler, for its promises, and for none that waits for the clock", () =>
    Effect.gen(function*() {
      const store = yield* TestStore.make(search, { initial: { ...initial, text: "mi" } })
      yield* store.send(Paused)
      yield* store.receivePartial({ _tag: "Found" }, { state: { hits: ["steps"] } })
    }).pipe(Effect.provide(Task.layer(Find, () =>
      Effect.gen(function*() {
        for (let i = 0; i < 500; i++) yield* Effect.yieldNow
        yield* Effect.promise(async () => {
          for (let i = 0; i < 100; i++) await Promise.resolve()
        })
        yield* Effect.all(Array.from({ length: 50 }, () => Effect.yieldNow), { concurrency: "unbounded" })
        return ["steps"]
      })))))

  it.effect("says when there is no rest to be had", () =>
    Effect.gen(function*() {
      const store = yield* TestStore.make(search, { initial: { ...initial, text: "mi" }, partial: true })
      assertSays(
        yield* complaint(store.send(Paused)),
        "does not come to rest",
        "perform Find \"mi\"",
        "Pause with Effect.sleep"
      )
      yield* Effect.flip(store.finish)
    }).pipe(Effect.provide(Task.layer(Find, () => Effect.forever(Effect.yieldNow)))), 60_000)

  it.effect("drives retries by the clock alone", () => {
    let tries = 0
    const flaky = Task.layer(Find, () =>
      Effect.suspend(() => {
        tries += 1
        return tries < 4 ? Effect.fail({ _tag: "Unreachable" } as const) : Effect.succeed(["late"])
      }).pipe(Effect.retry(Schedule.exponential("1 second"))))
    return Effect.gen(function*() {
      const store = yield* TestStore.make(search, { initial: { ...initial, text: "mi" } })
      yield* store.send(Paused)
      assert.strictEqual(tries, 1)
      yield* store.advance("1 second")
      assert.strictEqual(tries, 2)
      assertSays(
        yield* complaint(store.receivePartial({ _tag: "Found" })),
        "nothing has",
        "perform Find \"mi\" as \"find\", started by {\"_tag\":\"Paused\"}",
        "which `advance` moves"
      )
      yield* store.advance("6 seconds")
      assert.strictEqual(tries, 4)
      yield* store.receivePartial({ _tag: "Found", hits: ["late"] }, { state: { hits: ["late"] } })
    }).pipe(Effect.provide(flaky))
  })

  it.effect("sees a cancelled handler interrupted, and nothing come back of it", () => {
    const interrupted: Array<string> = []
    const slow = Task.layer(Find, (text) =>
      Effect.as(Effect.sleep("1 minute"), [text]).pipe(
        Effect.onInterrupt(() => Effect.sync(() => void interrupted.push(text)))
      ))
    return Effect.gen(function*() {
      const store = yield* TestStore.make(search, { initial: { text: "mi", hits: [], busy: true } })
      yield* store.send(Paused)
      yield* store.sendPartial({ _tag: "Stop" }, { state: { busy: false } })
      assert.deepStrictEqual(interrupted, ["mi"])
      yield* store.advance("1 hour")
      yield* store.finish
    }).pipe(Effect.provide(slow))
  })

  it.effect("fails on an unprovided task, by its name and input, unless the problem is claimed", () =>
    Effect.gen(function*() {
      const message = yield* complaint(Effect.gen(function*() {
        const store = yield* TestStore.make(search, { initial: { ...initial, text: "mi" } })
        yield* store.send(Paused)
        yield* store.finish
      }))
      assertSays(message, "Find was asked for with \"mi\", and this test does not provide it", "Task.layer")
      assertSays(message, "started by {\"_tag\":\"Paused\"}")
      const store = yield* TestStore.make(search, { initial: { ...initial, text: "mi" } })
      yield* store.send(Paused)
      yield* store.problem({ _tag: "TaskDefect", task: "Find" })
      assertSays(yield* complaint(store.problem({ _tag: "TaskDefect" })), "none has been")
    }).pipe(Effect.provide(TestStore.unprovided(Find))))

  it.effect("leaves unsaid what a test does not choose to say", () =>
    Effect.gen(function*() {
      const store = yield* TestStore.make(search, { initial, partial: true })
      yield* store.send(Typed("mi"))
      yield* store.advance("300 millis")
      yield* store.receivePartial({ _tag: "Found" })
      assertSays(yield* complaint(store.receivePartial({ _tag: "Failed" })), "nothing has", "Nothing is under way")
      yield* store.send(Typed("mint"))
    }).pipe(Effect.provide(find)))

  it.effect("skips and leaves in one step", () =>
    Effect.gen(function*() {
      const store = yield* make
      yield* store.send(Typed("mi"), { state: busy })
      yield* store.advance("300 millis")
      assertSays(yield* complaint(store.send(Typed("m"))), "has not received", "Receive it before the next send")
      assert.deepStrictEqual(yield* store.skip, [Paused, { _tag: "Found", hits: ["mi!"] }])
      yield* store.sendPartial(Typed("m"), { state: { busy: true } })
      yield* store.leave
    }).pipe(Effect.provide(find)))

  it.effect("follows sources, in the parts of a composed feature too", () => {
    const Ticks = Source.define("Ticks", { input: Schema.Int, value: Schema.Int, failure: Schema.Never })
    const counter = Reducer.withOutcomes(
      (count: number, action: { readonly _tag: "Follow" } | { readonly _tag: "Tick"; readonly by: number }) =>
        action._tag === "Follow"
          ? Reducer.step(count, Fx.subscribe(Ticks, 2, "ticks"))
          : Reducer.step(count + action.by, Fx.none),
      { Ticks: { value: (by) => ({ _tag: "Tick", by }), failure: (never) => never } }
    )
    const both = Compose.compose({ left: counter, right: counter })
    return Effect.gen(function*() {
      const store = yield* TestStore.make(both, { initial: { left: 0, right: 0 } })
      yield* store.send({ _tag: "left", action: { _tag: "Follow" } })
      yield* store.advance("2 seconds")
      yield* store.receive({ _tag: "left", action: { _tag: "Tick", by: 2 } }, { state: { left: 2, right: 0 } })
      yield* store.receive({ _tag: "left", action: { _tag: "Tick", by: 2 } }, { state: { left: 4, right: 0 } })
      assertSays(yield* complaint(store.finish), "subscribe to Ticks 2 as \"ticks\" within left", "started by")
      yield* store.leave
      yield* store.finish
    }).pipe(
      Effect.provide(Source.layer(Ticks, (by) => Stream.map(Stream.tick("1 second"), () => by).pipe(Stream.drop(1))))
    )
  })

  it.effect("takes a refused action that an effect sent for a problem", () => {
    type Action = { readonly _tag: "Plan" } | { readonly _tag: "Refused" }
    const planner = (state: number, action: Action) =>
      action._tag === "Plan"
        ? Reducer.step(state + 1, Fx.delay("later", 10, { _tag: "Refused" }))
        : Reducer.step(state, Fx.reject({ _tag: "Never" }))
    return Effect.gen(function*() {
      const store = yield* TestStore.make(planner, { initial: 0 })
      yield* store.send({ _tag: "Plan" }, { state: 1 })
      yield* store.advance(10)
      assertSays(
        yield* complaint(store.receive({ _tag: "Refused" })),
        "nothing has",
        "RejectedUnheard: Refused, which nobody waits for, was refused",
        "Likely the problem kept it from coming"
      )
      yield* store.problem({ _tag: "RejectedUnheard", action: "Refused", reason: { _tag: "Never" } })
    })
  })

  it.effect("waits for fibers of services that were there before it, and for several stores at once", () =>
    Effect.gen(function*() {
      const asked = yield* Queue.unbounded<readonly [string, Deferred.Deferred<ReadonlyArray<string>>]>()
      yield* Effect.forkScoped(Effect.forever(Effect.gen(function*() {
        const [text, answer] = yield* Queue.take(asked)
        for (let i = 0; i < 20; i++) yield* Effect.yieldNow
        yield* Deferred.succeed(answer, [`served ${text}`])
      })))
      yield* Effect.yieldNow
      const served = Task.layer(Find, (text) =>
        Effect.gen(function*() {
          const answer = yield* Deferred.make<ReadonlyArray<string>>()
          yield* Queue.offer(asked, [text, answer])
          return yield* Deferred.await(answer)
        }))
      yield* Effect.gen(function*() {
        const one = yield* TestStore.make(search, { initial: { ...initial, text: "one" } })
        const other = yield* TestStore.make(search, { initial: { ...initial, text: "other" } })
        yield* one.send(Paused)
        yield* other.send(Paused)
        yield* one.receivePartial({ _tag: "Found", hits: ["served one"] })
        yield* other.receivePartial({ _tag: "Found", hits: ["served other"] })
      }).pipe(Effect.provide(served))
    }))

  it.live("needs the clock of a test", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(Effect.scoped(make))
      assert.isTrue(Exit.isFailure(exit) && Cause.pretty(exit.cause).includes("TestClock.layer()"))
    }).pipe(Effect.provide(find)))
})

const Charge = Task.define("Charge", {
  input: Schema.Int,
  success: Schema.String,
  failure: Schema.TaggedStruct("Declined", {})
})

const Order = Action.define("Order", {
  commands: { Place: { cents: Schema.Int }, Confirm: { receipt: Schema.String }, Cancel: {}, Remind: {} },
  events: {
    Placed: Event.v1({ cents: Schema.Int }),
    Confirmed: Event.v1({ receipt: Schema.String }),
    Cancelled: Event.v1({})
  }
})
type OrderState = "new" | "placed" | "confirmed" | "cancelled"

const order = Aggregate.define(Order, {
  initial: "new" as OrderState,
  decide: (state, command) => {
    switch (command._tag) {
      case "Place":
        return state === "new"
          ? Fx.append(Order.Placed({ cents: command.cents }))
          : Fx.reject({ _tag: "AlreadyPlaced" })
      case "Confirm":
        return state === "placed"
          ? Fx.append(Order.Confirmed({ receipt: command.receipt }))
          : Fx.reject({ _tag: "NotPlaced", state })
      case "Cancel":
        return state === "placed" ? Fx.append(Order.Cancelled()) : Fx.none
      case "Remind":
        return Fx.none
    }
  },
  evolve: (_state, event): OrderState =>
    Order.match(event, { Placed: () => "placed", Confirmed: () => "confirmed", Cancelled: () => "cancelled" }),
  react: (_state, event) =>
    event._tag === "Placed"
      ? Fx.all(Fx.perform(Charge, event.cents), Fx.delay("remind", 60_000, Order.Remind()))
      : Fx.cancel("remind"),
  outcomes: {
    Charge: { success: (receipt: string) => Order.Confirm({ receipt }), failure: () => Order.Cancel() }
  }
})

const charge = Task.layer(Charge, (cents) =>
  Effect.andThen(
    Effect.sleep("1 second"),
    cents > 1000 ? Effect.fail({ _tag: "Declined" } as const) : Effect.succeed(`r${cents}`)
  ))
const placed = (cents: number) => ({ events: [Order.Placed({ cents })], state: "placed" as const })

const orders = Effect.gen(function*() {
  const store = yield* TestStore.aggregate(order)
  yield* store.dispatch("a", Order.Place({ cents: 5 }), placed(5))
  yield* store.dispatch("b", Order.Place({ cents: 5000 }), placed(5000))
  yield* store.dispatch("a", Order.Place({ cents: 5 }), { rejected: { _tag: "AlreadyPlaced" } })
  yield* store.advance("1 second")
  yield* store.receive("a", Order.Confirm({ receipt: "r5" }), {
    events: [Order.Confirmed({ receipt: "r5" })],
    state: "confirmed"
  })
  yield* store.receivePartial("b", { _tag: "Cancel" }, { events: [Order.Cancelled()] })
  yield* store.advance("1 hour")
  yield* store.finish
})

describe("TestStore.aggregate", () => {
  it.effect("tells what was stored and what came back", () =>
    orders.pipe(Effect.provide([charge, MemoryEventStore.layer])))

  it.effect("complains about events, instances, order and what is left", () =>
    Effect.gen(function*() {
      const placing = Effect.gen(function*() {
        const store = yield* TestStore.aggregate(order)
        yield* store.dispatch("a", Order.Place({ cents: 5 }), placed(5))
        yield* store.dispatch("b", Order.Place({ cents: 6 }), placed(6))
        return store
      })
      assertSays(
        yield* complaint(Effect.flatMap(TestStore.aggregate(order), (store) =>
          store.dispatch("z", Order.Place({ cents: 5 }), { events: [Order.Placed({ cents: 6 })] }))),
        "Not the events of {\"_tag\":\"Place\",\"cents\":5} to z",
        "[0].cents: expected 6, got 5"
      )
      assertSays(
        yield* complaint(Effect.flatMap(TestStore.aggregate(order), (store) =>
          store.dispatch("y", Order.Place({ cents: 5 })))),
        "Leaving out `events` claims that there are none"
      )
      assertSays(
        yield* complaint(Effect.flatMap(placing, (store) =>
          store.finish)),
        "perform Charge 5 within order(a), started by {\"_tag\":\"Placed\",\"cents\":5}",
        "send {\"_tag\":\"Remind\"} in 60000 ms as \"remind\" within order(b), due at 60000 ms"
      )
    }).pipe(Effect.provide([charge, MemoryEventStore.layer])))

  it.effect("keeps instances apart, and the order of each strict", () =>
    Effect.gen(function*() {
      const store = yield* TestStore.aggregate(order)
      yield* store.dispatch("a", Order.Place({ cents: 5 }), placed(5))
      yield* store.dispatch("b", Order.Place({ cents: 6 }), placed(6))
      yield* store.dispatch("c", Order.Place({ cents: 7 }), placed(7))
      yield* store.advance("1 second")
      yield* store.receive("b", Order.Confirm({ receipt: "r6" }), { events: [Order.Confirmed({ receipt: "r6" })] })
      assertSays(
        yield* complaint(store.receive("b", Order.Remind())),
        "{\"_tag\":\"Remind\"} to b was to come back",
        "to a"
      )
      assertSays(
        yield* complaint(store.receive("a", Order.Remind())),
        "Not the next command to come back ({\"_tag\":\"Confirm\",\"receipt\":\"r5\"} to a",
        "strictly in order"
      )
      assertSays(
        yield* complaint(store.receive("c", Order.Confirm({ receipt: "r7" }))),
        "Not the events of {\"_tag\":\"Confirm\",\"receipt\":\"r7\"} to c"
      )
    }).pipe(Effect.provide([charge, MemoryEventStore.layer])))

  it.effect("takes a refused command that an effect sent for a problem", () =>
    Effect.gen(function*() {
      const store = yield* TestStore.aggregate(order)
      yield* store.dispatch("a", Order.Place({ cents: 5 }), placed(5))
      yield* store.dispatch("a", Order.Cancel(), { events: [Order.Cancelled()], state: "cancelled" })
      yield* store.advance("1 second")
      assertSays(
        yield* complaint(store.finish),
        "CommandFailed",
        "Confirm, which an effect had sent to order a, failed"
      )
      yield* store.problem({
        _tag: "CommandFailed",
        command: "Confirm",
        cause: { _tag: "NotPlaced", state: "cancelled" }
      })
      yield* store.finish
    }).pipe(Effect.provide([charge, MemoryEventStore.layer])))

  it.effect("receives commands that store nothing", () =>
    Effect.gen(function*() {
      const store = yield* TestStore.aggregate(order)
      yield* store.dispatch("a", Order.Place({ cents: 5 }), placed(5))
      yield* store.advance("60 seconds")
      yield* store.receive("a", Order.Remind(), { state: "placed" })
      yield* store.leave
    }).pipe(Effect.provide([Task.layer(Charge, () => Effect.never), MemoryEventStore.layer])))
})
