/**
 * T44: a process that runs a saga and its effects ends at each of its await points in turn, before it and behind it, and
 * another goes on. `SAGA_STRIDE=1` takes every point; by default every third, from a random one on.
 */
import { EventStore } from "@composable-ts/core/EventStore"
import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
import { Outbox } from "@composable-ts/core/Outbox"
import * as Saga from "@composable-ts/projections/Saga"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Layer } from "effect"
import { areOver, type Ending, log, openAccounts, request, transfers, verify, worker } from "./Transfers.ts"

const stride = Number(process.env["SAGA_STRIDE"] ?? "3")
const offset = Math.floor(Math.random() * stride)

/** Where a process ends: at its so-manieth call of the store or the outbox, before it is made or once it is done. */
interface Fate {
  readonly call: number
  readonly when: "before" | "behind"
}

/** The operations of a service, each of them a point at which the process may end. */
const mortal = <Operations extends object>(
  operations: Operations,
  step: <A, E, R>(name: string, effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
): Operations =>
  new Proxy(operations, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name)
      if (Effect.isEffect(member)) return name === "listen" ? member : step(String(name), member)
      if (typeof member !== "function" || name === "load" || name === "subscribe") return member
      return (...args: ReadonlyArray<unknown>) => {
        const result: unknown = Reflect.apply(member, target, args)
        return Effect.isEffect(result) ? step(String(name), result) : result
      }
    }
  })

/** A process on a log, which may end early. It hands inputs over from its checkpoint on, and carries out effects. */
const process_ = (checkpoint: { at: bigint }, fate?: Fate) =>
  Effect.gen(function*() {
    const died = yield* Deferred.make<string>()
    let calls = 0
    const step = <A, E, R>(name: string, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
      Effect.suspend(() => {
        const call = ++calls
        const end = Effect.andThen(Deferred.succeed(died, name), Effect.never)
        if (call > (fate?.call ?? Infinity)) return Effect.never
        if (call !== fate?.call) return effect
        return fate.when === "before" ? end : Effect.andThen(Effect.exit(effect), end)
      })
    const events = yield* EventStore
    const outbox = yield* Outbox
    const own = Layer.merge(
      Layer.succeed(EventStore, mortal(events, step)),
      Layer.succeed(Outbox, mortal(outbox, step))
    )
    const handing = Effect.gen(function*() {
      const store = yield* EventStore
      const { receive } = yield* Saga.make(transfers, (refused) => Effect.die(refused))
      const appended = yield* store.listen
      while (true) {
        const page = yield* store.readAll({ after: checkpoint.at, limit: 5 })
        yield* receive(page.events)
        // The checkpoint is a call of its own: what it comes behind may be handed over again.
        yield* step("move the checkpoint", Effect.sync(() => checkpoint.at = page.position))
        if (page.position >= page.head) yield* appended
      }
    })
    // A lease that nobody waits out: what a dead process had is begun anew at once, also by one that is not dead at all.
    const working = worker({ lease: "30 millis", poll: "10 millis", deadline: 0 })
    const running = Effect.scoped(Effect.raceFirst(handing, working)).pipe(Effect.provide(own))
    return { running, died: Deferred.await(died), calls: () => calls }
  })

const total = 600

/** Two transfers that succeed, one to a closed account, one for which there is not enough, one that comes too late. */
const scenario = Effect.gen(function*() {
  yield* openAccounts(["a", "b", "c"], 200, ["c"])
  const patience = 60_000
  yield* request({ transfer: "fine", from: "a", to: "b", cents: 50, patience })
  yield* request({ transfer: "back", from: "b", to: "a", cents: 20, patience })
  yield* request({ transfer: "closed", from: "a", to: "c", cents: 30, patience })
  yield* request({ transfer: "poor", from: "a", to: "b", cents: 1_000, patience })
  yield* request({ transfer: "late", from: "a", to: "b", cents: 7, patience: 0 })
})

const untilOver = Effect.gen(function*() {
  while (!areOver(verify(total, yield* log))) yield* Effect.sleep(2)
  // What is left may only be timers that were not cancelled, if any; and nothing that is done again may change the log.
  return verify(total, yield* log)
})

/** The scenario by a process that ends at a point, and another behind it. Returns how it ended, and at which call. */
const withFate = (fate?: Fate) =>
  Effect.gen(function*() {
    yield* scenario
    const checkpoint = { at: 0n }
    const first = yield* process_(checkpoint, fate)
    // A dead process is not interrupted, which would give it time to wind up: whatever it asks for, it hears no answer.
    yield* Effect.forkDetach(first.running)
    // How many calls there are depends on who is faster, so the last ones may never be made.
    const name = yield* Effect.raceFirst(first.died, Effect.as(untilOver, "the end"))
    const second = yield* process_(checkpoint)
    const endings = yield* Effect.raceFirst(second.running, untilOver)
    // All is handed over and carried out once more, as by one that wakes up late.
    const third = yield* process_({ at: 0n })
    yield* Effect.raceFirst(third.running, Effect.sleep("40 millis"))
    assert.deepStrictEqual(verify(total, yield* log), endings)
    return { name, endings, calls: first.calls() }
  }).pipe(Effect.scoped, Effect.provide(MemoryEventStore.layerWithOutbox))

const expected: Readonly<Record<string, Ending>> = {
  fine: "Completed",
  back: "Completed",
  closed: "Compensated",
  poor: "Refused"
}

describe("a process that ends", () => {
  it.live("nowhere: the scenario comes to what it should", () =>
    Effect.gen(function*() {
      const { calls, endings } = yield* withFate()
      assert.deepInclude(Object.fromEntries(endings), expected)
      assert.isAbove(calls, 40)
    }))

  it.live(
    "at each of its await points leaves all to the next: every step is done once, and the money adds up",
    () =>
      Effect.gen(function*() {
        const { calls } = yield* withFate()
        const points = Array.from({ length: Math.ceil(calls / stride) }, (_, i) => 1 + offset + i * stride)
        const names = new Set<string>()
        yield* Effect.forEach(
          points.flatMap((call) => [{ call, when: "before" }, { call, when: "behind" }] as const),
          (fate) =>
            Effect.gen(function*() {
              const { endings, name } = yield* withFate(fate)
              names.add(name)
              assert.deepInclude(Object.fromEntries(endings), expected, `call ${fate.call}, ${fate.when} ${name}`)
            }),
          { concurrency: 4, discard: true }
        )
        assert.includeMembers(
          [...names],
          stride === 1 ? ["append", "claim", "readAll", "move the checkpoint"] : []
        )
      }),
    120_000
  )
})
