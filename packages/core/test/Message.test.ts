import * as Action from "@composable-ts/core/Action"
import * as Event from "@composable-ts/core/Event"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
import * as Message from "@composable-ts/core/Message"
import * as StreamId from "@composable-ts/core/StreamId"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Result, Schema } from "effect"

const Door = Action.define("Door", { commands: { Open: {} }, events: { Opened: Event.v1({ by: Schema.String }) } })
const opened = Result.getOrThrow(Door.encode(Door.Opened({ by: "Ada" })))

describe("make", () => {
  it("completes a context of an id and a time", () => {
    assert.deepStrictEqual({ ...Message.make(opened, { id: "m", time: 5 }) }, {
      id: "m",
      type: "Opened.v1",
      data: { by: "Ada" },
      key: "m",
      time: 5,
      correlationId: "m",
      causationId: "m",
      metadata: {},
      origin: null
    })
  })

  it("takes an action's meta, its correlation and cause", () => {
    const meta: Action.Meta = { time: 5, id: "a", correlationId: "b", causationId: "c" }
    const { causationId, correlationId, id, time } = Message.make(opened, meta)
    assert.deepStrictEqual({ time, id, correlationId, causationId }, { ...meta })
  })
})

describe("ofRecorded", () => {
  it.effect("is the same message each time, with the event's place in the log", () =>
    Effect.gen(function*() {
      const store = yield* MemoryEventStore.make
      const streamId = Result.getOrThrow(StreamId.make("door", "1"))
      yield* store.append(streamId, ExpectedVersion.noStream, [opened, opened], { metadata: { user: "Ada" } })
      const [, recorded] = yield* store.read(streamId)
      assert.isDefined(recorded)
      const message = Message.ofRecorded(recorded)
      assert.deepStrictEqual(message, Message.ofRecorded(recorded))
      assert.deepStrictEqual({ ...message }, {
        id: recorded.eventId,
        type: "Opened.v1",
        data: { by: "Ada" },
        key: "door-1",
        time: recorded.recordedAt,
        correlationId: recorded.correlationId,
        causationId: recorded.causationId,
        metadata: { user: "Ada" },
        origin: { streamId, version: 1, globalPosition: 2n }
      })
    }))
})
