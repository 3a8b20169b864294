/**
 * What aggregates publish has the key of their streams, on either bus and by either way, so that a group that consumes
 * handles it in the stream's order.
 */
import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as AggregateStore from "@composable-ts/core/AggregateStore"
import * as DurableAggregate from "@composable-ts/core/DurableAggregate"
import * as EffectWorker from "@composable-ts/core/EffectWorker"
import * as Event from "@composable-ts/core/Event"
import { EventBus } from "@composable-ts/core/EventBus"
import * as Fx from "@composable-ts/core/Fx"
import * as MemoryEventBus from "@composable-ts/core/MemoryEventBus"
import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
import * as Message from "@composable-ts/core/Message"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Result, Schema } from "effect"
import * as PostgresEventBus from "../src/PostgresEventBus.ts"

const Radio = Action.define("Radio", {
  commands: { Say: { nr: Schema.Int, key: Schema.NullOr(Schema.String) } },
  events: { Said: Event.v1({ nr: Schema.Int, key: Schema.NullOr(Schema.String) }) }
})

const said = (event: Action.EventOf<typeof Radio>) => Result.getOrThrow(Radio.encode(event))

const radio = Aggregate.define(Radio, {
  initial: 0,
  decide: (_state, command) => Fx.append(Radio.Said(command)),
  evolve: (state) => state + 1,
  react: (_state, event) => Fx.publish("news", said(event), event.key === null ? {} : { key: event.key })
})

const durable = DurableAggregate.make(radio)

const ways = {
  "by the store itself": AggregateStore.layer(radio),
  "as a durable effect": EffectWorker.layer([durable], { poll: "5 millis" }).pipe(
    Layer.provideMerge(AggregateStore.layerDurable(durable))
  )
}

const buses = {
  "in memory": MemoryEventBus.layer,
  "on PostgreSQL": PostgresEventBus.layer({ partitions: 2 }).pipe(Layer.provide(TestDatabase.layer))
}

const count = 12

/**
 * What a group of two members has handled by key, in order, and how much it had in hand at a time at the most, of what
 * one instance publishes under these keys.
 */
const handled = (keyOf: (nr: number) => string | null) =>
  Effect.gen(function*() {
    const bus = yield* EventBus
    const radios = yield* AggregateStore.service(radio)
    const [joined, done] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
    const order: Record<string, Array<number>> = {}
    let [inHand, most, seen] = [0, 0, 0]
    const member = bus.consume(["news"], { group: "listeners", concurrency: 16 }, ({ message }) =>
      Effect.gen(function*() {
        const { nr } = Schema.decodeUnknownSync(Schema.Struct({ nr: Schema.Int }))(message.data)
        if (nr < 0) {
          yield* Deferred.succeed(joined, undefined)
        } else {
          most = Math.max(most, ++inHand)
          // The earlier, the longer: who does not keep them in order turns them round.
          yield* Effect.sleep(10 + 2 * (count - nr))
          inHand--
          order[message.key] = [...order[message.key] ?? [], nr]
          if (++seen === count) {
            yield* Deferred.succeed(done, undefined)
          }
        }
      }))
    const members = yield* Effect.forkChild(Effect.all([member, member], { concurrency: 2 }))
    // The group begins with its first member, and has what is published from then on.
    const knock = Effect.gen(function*() {
      const [id, time] = [
        yield* Effect.sync(() =>
          crypto.randomUUID()
        ),
        0
      ]
      yield* bus.publish("news", Message.make(said(Radio.Said({ nr: -1, key: null })), { id, time }))
      yield* Effect.sleep(10)
    })
    yield* Effect.raceFirst(Deferred.await(joined), Effect.forever(knock))
    for (let nr = 0; nr < count; nr++) {
      yield* radios.dispatch("1", Radio.Say({ nr, key: keyOf(nr) }))
    }
    yield* Effect.raceFirst(Deferred.await(done), Fiber.join(members))
    yield* Fiber.interrupt(members)
    return { order, most }
  })

const numbers = Array.from({ length: count }, (_, nr) => nr)

for (const [where, bus] of Object.entries(buses)) {
  for (const [way, store] of Object.entries(ways)) {
    describe(`publishing on a bus ${where}, ${way}`, () => {
      const layers = store.pipe(Layer.provideMerge(Layer.merge(MemoryEventStore.layerWithOutbox, bus)))

      it.live("a group handles what an aggregate publishes one after the other, in the order of its stream", () =>
        Effect.gen(function*() {
          assert.deepStrictEqual(yield* handled(() => null), { order: { "radio-1": numbers }, most: 1 })
        }).pipe(Effect.provide(layers)))

      it.live("a key that the reducer gives counts instead: of each key in order, and all at once", () =>
        Effect.gen(function*() {
          const { most, order } = yield* handled((nr) => `k${nr % 4}`)
          assert.deepStrictEqual(
            order,
            Object.fromEntries([0, 1, 2, 3].map((k) => [`k${k}`, numbers.filter((nr) => nr % 4 === k)]))
          )
          assert.isAbove(most, 1)
        }).pipe(Effect.provide(layers)))
    })
  }
}
