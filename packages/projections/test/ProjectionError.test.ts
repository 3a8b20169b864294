import { assert, describe, it } from "@effect/vitest"
import { Data } from "effect"
import { SqlError, UnknownError } from "effect/sql/SqlError"
import { CheckpointAhead, CheckpointMissing, ProjectionFailed } from "../src/ProjectionError.ts"

class Named extends Data.TaggedError("Named")<{ readonly size: bigint }> {}

const failed = (cause: unknown) =>
  new ProjectionFailed({ projection: "tally", version: 2, after: 41n, upTo: 42n, cause }).message

const front = "Projection tally v2 stopped behind global position 41: it could not apply what follows up to 42: "

describe("ProjectionFailed", () => {
  it("says what the database said, not only that a query failed", () => {
    const reason = new UnknownError({ cause: new Error("relation \"x\" does not exist"), message: "Query failed" })
    assert.strictEqual(failed(new SqlError({ reason })), `${front}Query failed: relation "x" does not exist`)
  })

  it("says something of whatever a handler fails with", () => {
    const endless = new Error("endless")
    endless.cause = endless
    assert.strictEqual(failed(new Named({ size: 1n })), `${front}Named`)
    assert.strictEqual(failed(endless), `${front}endless`)
    assert.strictEqual(failed("out of paper"), `${front}out of paper`)
    assert.strictEqual(failed(undefined), `${front}undefined`)
    assert.strictEqual(failed(null), `${front}null`)
    assert.match(failed({ position: 7n }), /position.*7/)
    assert.strictEqual(failed(new Error("outer", { cause: "inner" })), `${front}outer: inner`)
  })

  it("tells a set-up from events", () => {
    const { message } = new ProjectionFailed({ projection: "tally", version: 1, after: 0n, upTo: 0n, cause: "no" })
    assert.strictEqual(message, "Projection tally v1 could not be set up: no")
  })
})

describe("the other reasons to stop", () => {
  it("name the projection and the way out", () => {
    assert.match(
      new CheckpointAhead({ projection: "tally", version: 1, checkpoint: 9n, head: 3n }).message,
      /^Projection tally v1 .* up to 9, but the log ends at 3\..* Rebuild/
    )
    assert.match(
      new CheckpointMissing({ projection: "tally", version: 1 }).message,
      /^Projection tally v1 has lost its checkpoint.* start the projection again/
    )
  })
})
