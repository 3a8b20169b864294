import { assert, describe, it } from "@effect/vitest"
import * as Instant from "../src/cli/Instant.ts"

describe("Instant", () => {
  it("reads ISO 8601, in UTC unless it says otherwise", () => {
    for (
      const [text, iso] of [
        ["2026-11-23T16:05:00Z", "2026-11-23T16:05:00.000Z"],
        ["2026-11-23T16:05:00.250Z", "2026-11-23T16:05:00.250Z"],
        ["2026-11-23T16:05", "2026-11-23T16:05:00.000Z"],
        ["2026-11-23T16:05:00+02:00", "2026-11-23T14:05:00.000Z"],
        ["2026-11-23", "2026-11-23T00:00:00.000Z"]
      ] as const
    ) {
      assert.strictEqual(new Date(Instant.parse(text)).toISOString(), iso)
    }
  })

  it("refuses everything else", () => {
    for (const text of ["", "yesterday", "2026", "2026-02-30", "2026-11-23T25:00Z", "2026-11-23T16:05:00 UTC", "0"]) {
      assert.throws(() => Instant.parse(text), "a time such as")
    }
  })
})
