import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as Event from "@composable-ts/core/Event"
import * as Fx from "@composable-ts/core/Fx"
import * as Task from "@composable-ts/core/Task"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as World from "../src/World.ts"

const Roll = Task.define("Roll", { input: Schema.Int, success: Schema.Int, failure: Schema.Literal("Lost") })

const Dice = Action.define("Dice", {
  commands: { Throw: { sides: Schema.Int }, Record: { eyes: Schema.Int }, Miss: {}, Forget: {}, Reset: {} },
  events: {
    Thrown: Event.v1({ sides: Schema.Int }),
    Rolled: Event.v1({ eyes: Schema.Int }),
    Missed: Event.v1({}),
    Forgotten: Event.v1({}),
    WasReset: Event.v1({})
  }
})

const dice = Aggregate.define(Dice, {
  initial: { rolled: 0 },
  decide: (_state, command) => {
    switch (command._tag) {
      case "Throw":
        return command.sides < 2 ? Fx.reject({ _tag: "TooFlat" }) : Fx.append(Dice.Thrown({ sides: command.sides }))
      case "Record":
        return Fx.append(Dice.Rolled({ eyes: command.eyes }))
      case "Miss":
        return Fx.append(Dice.Missed())
      case "Forget":
        return Fx.append(Dice.Forgotten())
      case "Reset":
        return Fx.append(Dice.WasReset())
    }
  },
  evolve: (state, event) => event._tag === "Rolled" ? { rolled: state.rolled + event.eyes } : state,
  react: (_state, event) => {
    switch (event._tag) {
      case "Thrown":
        return Fx.all(Fx.delay("forget", 1000, Dice.Forget()), Fx.perform(Roll, event.sides))
      case "WasReset":
        return Fx.cancel("forget")
      default:
        return Fx.none
    }
  },
  outcomes: { Roll: { success: (eyes) => Dice.Record({ eyes }), failure: () => Dice.Miss() } }
})

const Score = Action.define("Score", {
  commands: { Add: { eyes: Schema.Int } },
  events: { Added: Event.v1({ eyes: Schema.Int }) }
})
const score = Aggregate.define(Score, {
  initial: 0,
  decide: (_state, { eyes }) => Fx.append(Score.Added({ eyes })),
  evolve: (state: number, { eyes }) => state + eyes
})

const game = (perform: (task: string, input: unknown) => World.Ending) =>
  new World.World({
    members: [
      World.member(dice, (event) =>
        event._tag === "Rolled" ? [{ category: "score", id: "s", command: Score.Add({ eyes: event.eyes }) }] : []),
      World.member(score)
    ],
    perform
  })
const toDice = (command: Action.CommandOf<typeof Dice>) => ({ category: "dice", id: "d", command })
const tags = (world: World.World) => world.log.map(({ event }) => event._tag)

describe("a world", () => {
  it("carries commands, tasks, inputs and timers to their ends, timers last", () => {
    const world = game((task, input) => {
      assert.deepStrictEqual([task, input], ["Roll", 6])
      return { success: 4 }
    })
    world.send(toDice(Dice.Throw({ sides: 6 })))
    assert.strictEqual(world.pending, 1)
    world.settle()
    assert.deepStrictEqual(tags(world), ["Thrown", "Rolled", "Added", "Forgotten"])
    assert.deepStrictEqual(world.eventsOf("score"), [Score.Added({ eyes: 4 })])
    assert.deepStrictEqual([world.pending, world.now], [0, 1000])
  })

  it("reports failures, keeps refusals, ends timers", () => {
    const world = game(() => ({ failure: "Lost" }))
    world.send(toDice(Dice.Throw({ sides: 1 })))
    world.settle()
    assert.deepStrictEqual(world.refusals.map(({ reason }) => reason), [{ _tag: "TooFlat" }])
    world.send(toDice(Dice.Throw({ sides: 2 })))
    world.send(toDice(Dice.Reset()))
    world.settle()
    assert.deepStrictEqual(tags(world), ["Thrown", "WasReset", "Missed"])
  })

  it("repeats what crashed: a task runs again, its outcome and a command count once", () => {
    let rolls = 0
    const world = game(() => ({ success: ++rolls }))
    world.send(toDice(Dice.Throw({ sides: 6 })))
    // Choices with the remainder 1 leave a copy behind; the quotient says which of those that wait.
    world.happen([1, 1])
    assert.deepStrictEqual(tags(world), ["Thrown"])
    world.happen([2])
    assert.strictEqual(world.pending, 2)
    world.happen([4 + 1, 4 + 1, 4 + 2])
    assert.strictEqual(rolls, 3)
    world.settle()
    // Remainder 0: what was done with long ago.
    world.happen([0, 4, 8, 12, 16])
    assert.deepStrictEqual(tags(world).sort(), ["Added", "Forgotten", "Rolled", "Thrown"])
  })

  it("lets a timer fire although it was cancelled", () => {
    const world = game(() => ({ success: 1 }))
    world.send(toDice(Dice.Throw({ sides: 6 })))
    world.happen([2])
    world.send(toDice(Dice.Reset()))
    world.settle()
    assert.notInclude(tags(world), "Forgotten")
    for (let past = 0; past < 5; past++) world.happen([past * 4])
    assert.include(tags(world), "Forgotten")
  })

  it("is checked after everything that happens, and comes to rest or says so", () => {
    let checks = 0
    const world = new World.World({ members: [World.member(score)], check: () => checks++ })
    world.send({ category: "score", id: "s", command: Score.Add({ eyes: 1 }) })
    world.settle()
    assert.strictEqual(checks, 1)
    world.send({ category: "score", id: "s", command: Score.Add({ eyes: 1 }) })
    assert.throws(() => world.settle(0), "does not come to rest")
  })

  it("knows who is meant", () => {
    const world = game(() => ({ success: 1 }))
    world.send({ category: "cards", id: "c", command: Dice.Reset() })
    assert.throws(() => world.settle(), "There is no aggregate cards")
    world.send({ category: "score", id: "s", command: Dice.Reset() })
    assert.throws(() => world.settle(), "Score has no such command")
  })
})
