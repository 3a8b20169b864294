/**
 * Programs that are killed or stopped, that stand still, and that end by themselves.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import * as Fates from "../src/Fates.ts"
import * as Program from "../src/Program.ts"

const file = new URL("./Sleeper.ts", import.meta.url)
const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

describe("a program", () => {
  it.live.each(["kill", "stop"] as const)(
    "is ended by %s and started again, and gone at the end of the scope",
    (how) =>
      Effect.gen(function*() {
        const pid = yield* Effect.scoped(Effect.gen(function*() {
          const program = yield* Program.start({ file })
          const first = Number(program.line)
          assert.isTrue(isAlive(first))
          yield* program[how](0)
          assert.isFalse(isAlive(first))
          return first
        }))
        assert.isFalse(isAlive(pid))
      })
  )

  it.live("that ends by itself is found out", () =>
    Effect.gen(function*() {
      const program = yield* Program.start({ file, args: ["ends"] })
      const error = yield* Effect.flip(program.watched)
      assert.strictEqual(error.how, "exit code 3")
    }))

  it.live("that ends by itself before it is at work is found out", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Program.start({ file, args: ["fails"] }))
      assert.strictEqual(error.how, "exit code 4")
    }))
})

describe("work amid chaos", () => {
  it.live.each(["killed", "stopped"] as const)("goes on while workers are %s", (name) =>
    Effect.gen(function*() {
      const worker = yield* Program.start({ file })
      const victims = { workers: [worker], fates: [{ name, away: [0, 0] }], providers: [], seed: 1 } as const
      const [result, toll] = yield* Fates.during(victims, (underWay) =>
        Effect.gen(function*() {
          yield* underWay
          while (isAlive(Number(worker.line))) {
            yield* Effect.sleep("10 millis")
          }
          return "done"
        }))
      assert.strictEqual(result, "done")
      assert.isAbove(toll[name], 0)
    }))

  it.live("fails when a worker ends by itself", () =>
    Effect.gen(function*() {
      const worker = yield* Program.start({ file, args: ["ends"] })
      const work = yield* Effect.forkChild(
        Fates.during({ workers: [worker], fates: [Fates.killed], providers: [], seed: 1 }, () => Effect.never)
      )
      assert.strictEqual((yield* Effect.flip(Fiber.join(work)))._tag, "EndedByItself")
    }))
})
