import type { Delivery } from "@composable-ts/core/EventBus"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import assert from "node:assert/strict"
import { holdsForAll } from "../property.ts"
import { type Case, counts, first, freshName, numbered } from "./fixture.ts"

const upTo = (maximum: number) => Schema.Int.check(Schema.isBetween({ minimum: 0, maximum }))
const topicCount = 3

/** What publishers send, each to a sequence of topics; who listens, to which topics, and how many may wait. */
const traffic = Arbitrary.all({
  publishers: Arbitrary.array(Arbitrary.array(Arbitrary.schema(upTo(topicCount - 1)), { maxLength: 30 }), {
    minLength: 1,
    maxLength: 6
  }),
  subscribers: Arbitrary.array(
    Arbitrary.all({
      topics: Arbitrary.array(Arbitrary.schema(upTo(topicCount - 1)), { minLength: 1, maxLength: topicCount }),
      room: Arbitrary.schema(upTo(7))
    }),
    { minLength: 1, maxLength: 5 }
  )
})

/** More than any publisher sends. */
const each = 1_000

export const orderCases: ReadonlyArray<Case> = [
  {
    name: "order: whoever publishes and listens, each publisher's messages on each topic arrive all and in order",
    check: (bus) =>
      holdsForAll(traffic, ({ publishers, subscribers }) =>
        Effect.scoped(Effect.gen(function*() {
          const topics = Array.from({ length: topicCount }, freshName)
          const readers = yield* Effect.forEach(subscribers, (subscriber) =>
            Effect.gen(function*() {
              const expected = publishers.flat().filter((topic) => subscriber.topics.includes(topic)).length
              const deliveries = yield* bus.listen(
                subscriber.topics.map((topic) => topics[topic]!),
                { strategy: "suspend", capacity: subscriber.room + 1 }
              )
              return { subscriber, reader: yield* Effect.forkScoped(first(deliveries, expected)) }
            }))
          yield* Effect.forEach(publishers, (sent, publisher) =>
            Effect.forEach(sent, (topic, i) => bus.publish(topics[topic]!, numbered(publisher * each + i)), {
              discard: true
            }), {
            concurrency: "unbounded"
          })
          for (const { reader, subscriber } of readers) {
            const seen = yield* Fiber.join(reader)
            for (const topic of new Set(subscriber.topics)) {
              publishers.forEach((sent, publisher) => {
                const expected = sent.flatMap((to, i) =>
                  to === topic ? [publisher * each + i] : []
                )
                assert.deepEqual(sentBy(publisher, topics[topic]!, seen), expected)
              })
            }
          }
        })), 40)
  }
]

const sentBy = (publisher: number, topic: string, seen: ReadonlyArray<Delivery>): ReadonlyArray<number> =>
  counts(seen.filter((delivery) => delivery.topic === topic)).filter((count) => Math.floor(count / each) === publisher)
