import { maxNameLength, type SubscribeOptions } from "@composable-ts/core/EventBus"
import { InvalidSubscription, InvalidTopic } from "@composable-ts/core/EventBusError"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import assert from "node:assert/strict"
import { type Case, counts, first, freshName, numbered, roomy } from "./fixture.ts"

const notNames = [
  "",
  " ",
  "1st",
  ".hidden",
  "two words",
  "orders/eu",
  "orders\n",
  "orders\0",
  "größe",
  "*",
  "orders'; --",
  "x".repeat(maxNameLength + 1)
]

const refused = (issue: RegExp, what: string, topics: ReadonlyArray<string>, options: SubscribeOptions): Case => ({
  name: `subscribe: refuses ${what}`,
  check: (bus) =>
    Effect.gen(function*() {
      for (const attempt of [bus.listen(topics, options), Stream.runDrain(bus.subscribe(topics, options))]) {
        const error = yield* Effect.flip(attempt)
        assert.ok(error instanceof InvalidSubscription, String(error))
        assert.match(error.issue, issue)
      }
    })
})

export const nameCases: ReadonlyArray<Case> = [
  {
    name: "topic: letters, digits, points, hyphens and underscores up to the longest name",
    check: (bus) =>
      Effect.gen(function*() {
        for (const topic of [`${freshName()}.A_b-9..`, freshName().padEnd(maxNameLength, "x")]) {
          const deliveries = yield* bus.listen([topic], roomy)
          yield* bus.publish(topic, numbered(1))
          assert.deepEqual(counts(yield* first(deliveries, 1)), [1])
        }
      })
  },
  {
    name: "topic: any other text is refused, by publish, listen and subscribe",
    check: (bus) =>
      Effect.gen(function*() {
        for (const topic of notNames) {
          const attempts = [
            bus.publish(topic, numbered(1)),
            bus.listen([freshName(), topic], roomy),
            Stream.runDrain(bus.subscribe([topic], roomy))
          ]
          for (const attempt of attempts) {
            const error = yield* Effect.flip(Effect.asVoid(attempt))
            assert.ok(error instanceof InvalidTopic, `${JSON.stringify(topic)}: ${String(error)}`)
            assert.equal(error.topic, topic.slice(0, maxNameLength))
          }
        }
      })
  },
  refused(/names no topic/, "a subscription to nothing", [], roomy),
  ...[0, -1, 1.5, NaN, Infinity].map((capacity) =>
    refused(/keeps no message/, `a capacity of ${capacity}`, ["orders"], { strategy: "suspend", capacity })
  ),
  ...notNames.map((group) =>
    refused(/is not a name/, `a group called ${JSON.stringify(group.slice(0, 20))}`, ["orders"], { ...roomy, group })
  )
]
