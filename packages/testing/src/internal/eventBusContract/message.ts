import * as Message from "@composable-ts/core/Message"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import assert from "node:assert/strict"
import { freshId, freshStream, noted } from "../eventStoreContract/fixture.ts"
import { difficultJson } from "../json.ts"
import { holdsForAll } from "../property.ts"
import { type Case, first, freshName, holding, roomy } from "./fixture.ts"

/** Tries to change what others read too: it may be refused, but it must not succeed for them. */
const tamper = (change: () => void): void => {
  try {
    change()
  } catch (error) {
    assert.ok(error instanceof TypeError, String(error))
  }
}

export const messageCases: ReadonlyArray<Case> = [
  {
    name: "message: comes with all that it was made of",
    check: (bus) =>
      Effect.gen(function*() {
        const topic = freshName()
        const context = { id: freshId(), time: 1_700_000_000_000, metadata: { user: "Ada" } }
        const messages = [
          Message.make(noted("bare"), { id: freshId(), time: 0 }),
          Message.make(noted("full"), { ...context, correlationId: "conversation 1", causationId: "command 2" }),
          Message.make(noted("in order"), { ...context, id: freshId(), key: "order-1\0" }),
          Message.ofRecorded({
            streamId: freshStream(),
            version: 3,
            globalPosition: 2n ** 53n + 1n,
            type: "Noted.v1",
            data: { note: "recorded" },
            eventId: freshId(),
            commandId: "command 3",
            correlationId: "conversation 2",
            causationId: "command 2",
            recordedAt: 1_700_000_000_001,
            metadata: { user: "Bob" }
          })
        ]
        const deliveries = yield* bus.listen([topic], roomy)
        for (const message of messages) yield* bus.publish(topic, message)
        assert.deepEqual(yield* first(deliveries, 4), messages.map((message) => ({ topic, message })))
      })
  },
  ...Object.entries(difficultJson).map(([name, note]): Case => ({
    name: `message: ${name} comes back exactly`,
    check: (bus) =>
      Effect.gen(function*() {
        const topic = freshName()
        const message = holding(note)
        const deliveries = yield* bus.listen([topic], roomy)
        yield* bus.publish(topic, message)
        assert.deepEqual(yield* first(deliveries, 1), [{ topic, message }])
        assert.equal(Object.hasOwn(Object.prototype, "polluted"), false)
      })
  })),
  {
    name: "message: whatever JSON holds comes back as JSON holds it",
    check: (bus) =>
      holdsForAll(Arbitrary.schema(Schema.Json), (note) =>
        Effect.scoped(Effect.gen(function*() {
          const topic = freshName()
          const deliveries = yield* bus.listen([topic], roomy)
          yield* bus.publish(topic, holding(note))
          const [delivery] = yield* first(deliveries, 1)
          assert.equal(JSON.stringify(delivery?.message.data), JSON.stringify({ note }))
          assert.equal(JSON.stringify(delivery?.message.metadata), JSON.stringify({ note }))
        })), 50)
  },
  {
    name: "message: changing its values after it was published changes nothing for its receivers",
    check: (bus) =>
      Effect.gen(function*() {
        const topic = freshName()
        const note = { inner: [1, 2] }
        const deliveries = yield* bus.listen([topic], roomy)
        yield* bus.publish(topic, holding(note))
        note.inner.push(3)
        const [delivery] = yield* first(deliveries, 1)
        assert.deepEqual(delivery?.message.data, { note: { inner: [1, 2] } })
        assert.deepEqual(delivery?.message.metadata, { note: { inner: [1, 2] } })
      })
  },
  {
    name: "message: what one receiver does to it changes nothing for another",
    check: (bus) =>
      Effect.gen(function*() {
        const topic = freshName()
        const message = holding({ inner: [1, 2] })
        const [one, other] = [yield* bus.listen([topic], roomy), yield* bus.listen([topic], roomy)]
        yield* bus.publish(topic, message)
        for (const delivery of yield* first(one, 1)) {
          for (const value of [delivery.message.data, delivery.message.metadata]) {
            tamper(() => (value as unknown as { note: { inner: Array<number> } }).note.inner.push(3))
            tamper(() => Object.assign(value as object, { note: null }))
          }
          tamper(() => Object.assign(delivery.message, { type: "Other.v1" }))
          tamper(() => Object.assign(delivery, { topic: "other" }))
        }
        assert.deepEqual(
          yield* first(other, 1),
          [{ topic, message: holding({ inner: [1, 2] }) }].map((expected) => ({
            topic,
            message: {
              ...expected.message,
              id: message.id,
              time: message.time,
              correlationId: message.id,
              causationId: message.id,
              key: message.id
            }
          }))
        )
      })
  }
]
