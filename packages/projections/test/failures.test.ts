import { EventStoreError } from "@composable-ts/core/EventStoreError"
import { assert, describe, it } from "@effect/vitest"
import { isBlameless, isOutage } from "../src/internal/failures.ts"
import { ProjectionFailed } from "../src/ProjectionError.ts"

const wrapped = (cause: unknown) =>
  new ProjectionFailed({ projection: "totals", version: 1, after: 0n, upTo: 1n, cause })

describe("an event store that says that it is away, with no reason from SQL", () => {
  for (const retryable of [true, false]) {
    const error = new EventStoreError({ operation: "read all", retryable, cause: new Error("elsewhere") })

    it(`is ${retryable ? "an" : "no"} outage, however it is wrapped`, () => {
      const failures = [error, wrapped(error), wrapped(wrapped(error))]
      assert.deepStrictEqual(failures.map(isOutage), failures.map(() => retryable))
      assert.deepStrictEqual(failures.map(isBlameless), failures.map(() => retryable))
    })
  }

  it("is told from a handler's own failure", () => {
    assert.isFalse(isOutage(wrapped(new Error("the handler's own"))))
    assert.isFalse(isOutage(wrapped({ retryable: true })))
  })
})
