/**
 * What the errors with a cause say of it, whatever it is.
 */
import * as Action from "@composable-ts/core/Action"
import * as Event from "@composable-ts/core/Event"
import { EventBusError } from "@composable-ts/core/EventBusError"
import { EventStoreError } from "@composable-ts/core/EventStoreError"
import { SubjectKeysError } from "@composable-ts/core/PersonalError"
import { SnapshotStoreError } from "@composable-ts/core/SnapshotStore"
import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"

/** A record without a prototype, as a JSON parser makes it and a promise may be rejected with. */
const plain = (): unknown => Object.assign(Object.create(null), { code: 17 })

const hostile = (): unknown => ({
  toString: () => {
    throw new Error("no words")
  }
})

const errors: Readonly<Record<string, (cause: unknown) => Error>> = {
  EventStoreError: (cause) => new EventStoreError({ operation: "append", retryable: false, cause }),
  EventBusError: (cause) => new EventBusError({ operation: "publish", retryable: false, cause }),
  SnapshotStoreError: (cause) => new SnapshotStoreError({ operation: "save", retryable: false, cause }),
  SubjectKeysError: (cause) => new SubjectKeysError({ operation: "find", retryable: false, cause })
}

for (const [name, make] of Object.entries(errors)) {
  describe(`the message of ${name}`, () => {
    it("tells what a cause holds that has no prototype", () => assert.include(make(plain()).message, `{"code":17}`))

    it("takes a cause that cannot be told", () => assert.include(make(hostile()).message, "failed to "))

    it("tells what an error says, and no more of it", () =>
      assert.isTrue(make(new Error("connection lost")).message.endsWith(": connection lost")))
  })
}

it("an upcaster may throw what has no prototype", () => {
  const Renamed = Action.define("Renamed", {
    commands: {},
    events: {
      Named: Event.v1({ name: Schema.String }).next({ title: Schema.String }, () => {
        throw plain()
      })
    }
  })
  const stored = { type: "Named.v1", data: { name: "a" }, streamId: "renamed-1", version: 0, globalPosition: 1n }
  const decoded = Renamed.decode(stored as never)
  assert.isTrue(Result.isFailure(decoded))
  if (Result.isFailure(decoded)) assert.include(decoded.failure.message, `{"code":17}`)
})
