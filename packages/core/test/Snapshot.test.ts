import * as Snapshot from "@composable-ts/core/Snapshot"
import * as StreamId from "@composable-ts/core/StreamId"
import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"

const snapshot: Snapshot.Snapshot = {
  streamId: Result.getOrThrow(StreamId.make("counter", "1")),
  version: 0,
  globalPosition: 1n,
  stateVersion: 1,
  state: null
}

describe("refusal", () => {
  it("lets every snapshot of an event through", () => {
    assert.isUndefined(Snapshot.refusal(snapshot))
    assert.isUndefined(Snapshot.refusal({ ...snapshot, version: 2 ** 40, stateVersion: Snapshot.maxStateVersion }))
  })

  it("names the stream, what is wrong, and what would be right", () => {
    const messages = [{ version: -1 }, { globalPosition: 0n }, { stateVersion: 0 }].map((change) =>
      Snapshot.refusal({ ...snapshot, ...change })?.message
    )
    assert.deepStrictEqual(messages, [
      "Not a snapshot of stream \"counter-1\": version -1 is not that of an event; " +
      "a stream without events has no snapshot",
      "Not a snapshot of stream \"counter-1\": global position 0 is not that of an event: they count from 1",
      "Not a snapshot of stream \"counter-1\": the state's version is 0, and not a whole number from 1 to 2147483647"
    ])
  })
})
