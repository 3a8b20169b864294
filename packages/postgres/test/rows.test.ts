import { assert, it } from "@effect/vitest"
import { Result } from "effect"
import { recordedAll } from "../src/internal/rows.ts"

const row = (streamId: string | null, version: number) => [
  streamId,
  version,
  BigInt(version + 1),
  "Counted.v1",
  { count: 1 },
  null,
  "019283a4-0000-7000-8000-000000000000",
  "command",
  null,
  null,
  new Date(0),
  null
]

const streamsOf = (rows: ReadonlyArray<ReadonlyArray<unknown>>, except?: number) =>
  Result.getOrThrow(recordedAll(rows, { streamId: "fact-a", ...except !== undefined && { except } })).map(
    ({ streamId, version }) => [streamId, version]
  )

it("a row that names no stream is of the one that was asked for; another keeps its own, to be noticed", () => {
  assert.deepStrictEqual(streamsOf([row(null, 0), row("fact-b", 1)]), [["fact-a", 0], ["fact-b", 1]])
})

it("a row that is no event's is left out, wherever it stands", () => {
  const tip = [...row(null, 9).fill(null), ["3", null, null, null]]
  for (const at of [0, 1, 2]) {
    const rows: Array<ReadonlyArray<unknown>> = [row("fact-a", 0), row("fact-a", 1)]
    rows.splice(at, 0, tip)
    assert.deepStrictEqual(streamsOf(rows, at), [["fact-a", 0], ["fact-a", 1]])
  }
})
