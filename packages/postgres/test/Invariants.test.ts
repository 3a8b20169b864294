/**
 * The checker sees what it is there to see.
 */
import { ExpectedVersion } from "@composable-ts/core"
import { VersionConflict } from "@composable-ts/core/EventStoreError"
import { assert, describe, it } from "@effect/vitest"
import { Cause } from "effect"
import { several, stream } from "./Facts.ts"
import type { Entry } from "./History.ts"
import { commandViolations, historyViolations, orderViolations, type Row } from "./Invariants.ts"

const a = stream("a")
const b = stream("b")

/** Three commands: two events to a, one to b, one each to a and b. */
const sound: ReadonlyArray<Row> = [
  { position: 1n, streamId: a, version: 0, commandId: "x", commandSize: 2 },
  { position: 2n, streamId: a, version: 1, commandId: "x", commandSize: null },
  { position: 3n, streamId: b, version: 0, commandId: "y", commandSize: 1 },
  { position: 4n, streamId: a, version: 2, commandId: "z", commandSize: 2 },
  { position: 5n, streamId: b, version: 1, commandId: "z", commandSize: null }
]
const violations = (rows: ReadonlyArray<Row>) => [...orderViolations(rows), ...commandViolations(rows)]
const changed = (index: number, change: Partial<Row>) =>
  sound.map((row, i) => i === index ? { ...row, ...change } : row)

const entry = (commandId: string, outcome: Entry["outcome"], count = 2): Entry => ({
  commandId,
  appends: [{ streamId: a, events: several(count) }],
  outcome
})
const stored = (version: number, globalPosition: bigint): Entry["outcome"] => ({
  _tag: "Stored",
  results: [{ version, globalPosition, duplicate: false }]
})
const refused: Entry["outcome"] = {
  _tag: "Refused",
  error: new VersionConflict({ streamId: a, expected: ExpectedVersion.any, actual: 0 })
}
const unknown: Entry["outcome"] = { _tag: "Unknown", cause: Cause.interrupt() }

describe("invariants", () => {
  it("find nothing in a sound log", () => {
    assert.deepStrictEqual(violations(sound), [])
  })

  it.each([
    ["a gap in positions", sound.filter((_, i) => i !== 2)],
    ["a gap in versions", changed(3, { version: 3 })],
    ["a version twice", changed(1, { version: 0 })],
    ["an order that contradicts a stream's", [sound[0]!, sound[3]!, sound[1]!, sound[2]!, sound[4]!]],
    ["a command that is there twice", changed(4, { commandId: "x", commandSize: 1 })],
    ["a command in part", changed(3, { commandSize: 3 })],
    ["an event without its command's first", changed(2, { commandSize: null })]
  ])("find %s", (_, rows) => {
    assert.isNotEmpty(violations(rows))
  })

  it.each([
    ["stored, and there", entry("x", stored(1, 2n)), true],
    ["stored, and not there", entry("w", stored(1, 2n)), false],
    ["stored, and there in part", entry("x", stored(1, 2n), 3), false],
    ["stored, and told another version", entry("x", stored(2, 2n)), false],
    ["stored, and told another position", entry("x", stored(1, 3n)), false],
    ["refused, and not there", entry("w", refused), true],
    ["refused, and there", entry("x", refused), false],
    ["unknown, and not there", entry("w", unknown), true],
    ["unknown, and there", entry("x", unknown), true],
    ["unknown, and there in part", entry("x", unknown, 3), false]
  ])("compare a history: %s", (_, told, isSound) => {
    assert.strictEqual(historyViolations(sound, [told]).length === 0, isSound)
  })
})
