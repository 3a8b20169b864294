/**
 * T44: random schedules in which a saga's inputs are handed over again and again by several receivers, its effects are
 * carried out by workers that lose their claims, and its timers fire twice, late, and before it has begun. `SAGA_RUNS`
 * says how many schedules; 25 where it is not set.
 */
import * as AggregateStore from "@composable-ts/core/AggregateStore"
import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
import { Outbox } from "@composable-ts/core/Outbox"
import * as Saga from "@composable-ts/projections/Saga"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schema } from "effect"
import {
  areOver,
  durableTransfer,
  log,
  openAccounts,
  request,
  Transfer,
  transfers,
  verify,
  verifyCommits,
  worker
} from "./Transfers.ts"

const runs = Number(process.env["SAGA_RUNS"] ?? "25")

const Accounts = Schema.Literals(["a", "b", "shut"])
const below = (maximum: number) => Schema.Int.check(Schema.isBetween({ minimum: 0, maximum }))

const Step = Schema.Union([
  Schema.TaggedStruct("Ask", {
    from: Accounts,
    to: Accounts,
    cents: below(250),
    patience: Schema.Literals([0, 3, 60_000])
  }),
  /** Hands over what lies behind some events from the end, by one of two receivers or a fresh one. */
  Schema.TaggedStruct("HandOver", {
    back: below(12),
    length: below(12),
    by: Schema.Literals(["one", "other", "fresh"])
  }),
  /** The timer of a transfer fires, whether or not it was set, and perhaps not for the first time. */
  Schema.TaggedStruct("Fire", { transfer: below(5), again: Schema.Boolean }),
  /** Somebody else claims what is due, and is never heard of again. */
  Schema.TaggedStruct("Steal", { limit: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 3 })) }),
  Schema.TaggedStruct("Pause", {})
])

const total = 600

const follow = (steps: ReadonlyArray<typeof Step.Type>) =>
  Effect.gen(function*() {
    yield* openAccounts(["a", "b", "shut"], 200, ["shut"])
    const outbox = yield* Outbox
    const own = yield* AggregateStore.makeDurable(durableTransfer)
    const make = Saga.make(transfers, (refused) => Effect.die(refused))
    const receivers = { one: yield* make, other: yield* make }
    const working = yield* Effect.forkChild(worker({ lease: "15 millis", poll: "5 millis", deadline: 0 }))
    let asked = 0
    for (const step of steps) {
      switch (step._tag) {
        case "Ask":
          yield* request({ ...step, transfer: `${asked++}` })
          break
        case "HandOver": {
          const events = yield* log
          const from = Math.max(0, events.length - step.back)
          // Nothing is passed over: what comes before was handed over, or is now.
          const by = step.by === "fresh" ? yield* make : receivers[step.by]
          yield* by.receive(events.slice(0, from))
          yield* by.receive(events.slice(Math.max(0, from - step.back), from + step.length))
          break
        }
        case "Fire": {
          const id = `${step.transfer}`
          const fired = own.dispatch(id, Transfer.LosePatience(), { commandId: `fired ${id}` })
          yield* fired
          if (step.again) yield* fired
          break
        }
        case "Steal":
          yield* outbox.claim({ limit: step.limit, lease: "10 millis" })
          break
        case "Pause":
          yield* Effect.sleep(3)
      }
      verify(total, yield* log)
      yield* verifyCommits
    }
    // Then all goes well.
    const { receive } = yield* make
    let endings = verify(total, yield* log)
    while (!areOver(endings)) {
      yield* receive(yield* log)
      yield* verifyCommits
      yield* Effect.sleep(1)
      endings = verify(total, yield* log)
    }
    yield* Effect.repeat(Effect.tap(outbox.list({ limit: 1 }), Effect.sleep(1)), { until: (left) => left.length === 0 })
    yield* Fiber.interrupt(working)
    yield* receive(yield* log)
    assert.deepStrictEqual(verify(total, yield* log), endings)
    assert.strictEqual(endings.size, asked)
  }).pipe(Effect.scoped, Effect.provide(MemoryEventStore.layerWithOutbox))

describe("whatever is redelivered, stolen or fired", () => {
  it.live.prop(
    "the money adds up at every moment, and each transfer has one story",
    [Schema.Array(Step).check(Schema.isMaxLength(30))],
    ([steps]) => follow(steps),
    { arbitrary: { runs }, timeout: 120_000 }
  )
})
