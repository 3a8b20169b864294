/**
 * The checker finds nothing in a sound history, and what is wrong in each unsound one.
 */
import { assert, describe, it } from "@effect/vitest"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Checker from "./Checker.ts"
import { type Delivery, markOf, type Operation, readHistory, recorder } from "./Operation.ts"

const row = (
  place: number,
  [streamId, version]: readonly [string, number],
  command: string,
  commandSize: number | null = null
) => {
  const index = commandSize === null ? 1 : 0
  return {
    position: BigInt(place),
    streamId,
    version,
    commandId: command,
    commandSize,
    mark: markOf(command, index),
    digest: `digest-${place}`
  }
}
/** Three commands: two events to a, one to b, one each to a and b. */
const rows: ReadonlyArray<Checker.Row> = [
  row(1, ["a", 0], "x", 2),
  row(2, ["a", 1], "x"),
  row(3, ["b", 0], "y", 1),
  row(4, ["a", 2], "z", 2),
  row(5, ["b", 1], "z")
]

type Change = Partial<Pick<Operation, "invoked" | "ended">>

const append = (
  commandId: string,
  [invoked, ended]: readonly [number, number],
  outcome: Operation["outcome"],
  parts: ReadonlyArray<readonly [streamId: string, size: number, expected?: number]>
): Operation => ({
  client: "writer",
  call: {
    _tag: "Append",
    commandId,
    parts: parts.map(([streamId, size, expected]) => ({
      streamId,
      size,
      expected: expected === undefined ? { _tag: "Any" } : { _tag: "Exact", version: expected }
    }))
  },
  invoked: BigInt(invoked),
  ended: BigInt(ended),
  outcome
})
const stored = (...told: ReadonlyArray<readonly [version: number, position: number]>): Operation["outcome"] => ({
  _tag: "Stored",
  results: told.map(([version, position]) => ({ version, position: BigInt(position), duplicate: false }))
})
const again = (version: number, position: number): Operation["outcome"] => ({
  _tag: "Stored",
  results: [{ version, position: BigInt(position), duplicate: true }]
})
const conflict = (actual: number, expected = 7): Operation["outcome"] => ({
  _tag: "Conflict",
  streamId: "a",
  expected: { _tag: "Exact", version: expected },
  actual
})
const unknown: Operation["outcome"] = { _tag: "Unknown", why: "", retryable: true }

const seen = (...positions: ReadonlyArray<number>) => positions.map((position) => rows[position - 1]!)
const stream = (...positions: ReadonlyArray<number>): Operation["outcome"] => ({
  _tag: "Stream",
  events: seen(...positions)
})
const page = (head: number, ...positions: ReadonlyArray<number>): Operation["outcome"] => ({
  _tag: "Page",
  events: seen(...positions),
  position: BigInt(head),
  head: BigInt(head)
})

const operations = {
  x: append("x", [10, 20], stored([1, 2]), [["a", 2, -1]]),
  y: append("y", [30, 40], stored([0, 3]), [["b", 1, -1]]),
  z: append("z", [50, 60], stored([2, 4], [1, 5]), [["a", 1], ["b", 1]]),
  refused: append("w", [25, 45], conflict(1), [["a", 1, 7]]),
  lost: append("v", [25, 26], unknown, [["a", 1]]),
  repeated: append("y", [70, 75], again(0, 3), [["b", 1, -1]]),
  read: {
    client: "reader",
    call: { _tag: "ReadStream", streamId: "a" },
    invoked: 22n,
    ended: 28n,
    outcome: stream(1, 2)
  },
  readLog: {
    client: "reader",
    call: { _tag: "ReadLog", after: 0n, limit: 10 },
    invoked: 41n,
    ended: 49n,
    outcome: page(3, 1, 2, 3)
  }
} satisfies Record<string, Operation>

const deliveries: ReadonlyArray<Delivery> = [21, 21, 42, 61, 61].map((at, i) => ({
  subscriber: "follower",
  at: BigInt(at),
  event: rows[i]!
}))

const sound: Checker.Evidence = {
  rows,
  earlier: rows.slice(0, 3),
  operations: Object.values(operations),
  deliveries,
  subscribers: ["follower"]
}

/** The sound history with one operation changed. */
const but = (name: keyof typeof operations, outcome: Operation["outcome"], change: Change = {}): Checker.Evidence => ({
  ...sound,
  operations: Object.values({ ...operations, [name]: { ...operations[name], ...change, outcome } })
})
const also = (...more: ReadonlyArray<Operation>): Checker.Evidence => ({
  ...sound,
  operations: [...sound.operations, ...more]
})
const delivered = (deliveries: ReadonlyArray<Delivery>): Checker.Evidence => ({ ...sound, deliveries })
/** Another log, and a subscriber that got just that. */
const logged = (rows: ReadonlyArray<Checker.Row>, operations: ReadonlyArray<Operation>): Checker.Evidence => ({
  rows,
  earlier: [],
  operations,
  deliveries: rows.map((event) => ({ subscriber: "follower", at: 100n, event })),
  subscribers: ["follower"]
})
const renamed = (rows: ReadonlyArray<Checker.Row>) => rows.map((row, i) => ({ ...row, position: BigInt(i + 1) }))

const { x, y, z } = operations

describe("the checker", () => {
  it("finds nothing in a sound history", () => {
    assert.deepStrictEqual(Checker.violations(sound), [])
  })

  it.each<readonly [string, Checker.Evidence, RegExp]>([
    ["lost: an acknowledged command", logged(rows.slice(0, 3), [x, y, z]), /^I1: command z, part 0 was told/],
    [
      "lost: the first of two commands",
      logged(renamed(rows.slice(2, 3)), [x, y]),
      /^I1: command x, part 0 was told/
    ],
    ["duplicated: a command is there twice", logged([...rows, row(6, ["b", 2], "y", 1)], [x, y, z]), /^I1: .*again/],
    [
      "duplicated: a command stored for the first time twice",
      but("repeated", stored([0, 3])),
      /^I1: .*first time twice/
    ],
    ["duplicated: a duplicate of nothing", but("z", again(2, 4)), /^I1: .*duplicate of nothing/],
    [
      "reordered: against the order of time",
      logged([row(1, ["b", 0], "y", 1), row(2, ["a", 0], "x", 2), row(3, ["a", 1], "x")], [
        { ...x, outcome: stored([1, 3]) },
        { ...y, outcome: stored([0, 1]) }
      ]),
      /^real time: command y stands at 1/
    ],
    [
      "reordered: within a stream",
      logged(renamed([rows[3]!, rows[4]!, rows[0]!, rows[1]!, rows[2]!]), []),
      /^I3\/I4/
    ],
    ["a gap in positions", logged(rows.filter((_, i) => i !== 2), [x, z]), /stands in place/],
    ["phantom: a row that nobody asked for", logged(rows, [x, z]), /^phantom: nobody asked/],
    ["phantom: a row that says something else", logged(rows.with(2, { ...rows[2]!, mark: "?" }), [x, y, z]), /^I1/],
    ["phantom: an event read that is not there", but("read", stream(1, 2, 3)), /^(phantom|torn read)/],
    [
      "phantom: an event read that says something else",
      but("read", { _tag: "Stream", events: [{ ...rows[0]!, mark: "?" }, rows[1]!] }),
      /^phantom/
    ],
    ["phantom: an event read before it was asked for", but("read", stream(1, 2, 4)), /^phantom: .*before it was asked/],
    ["phantom: a head from the future", but("readLog", page(5, 1, 2, 3, 4, 5)), /^phantom/],
    ["phantom: a head where nothing is", but("readLog", page(9, 1, 2, 3, 4, 5)), /^phantom: .*where nothing is/],
    [
      "torn batch: in the log",
      logged(rows.slice(0, 4), [x, y, { ...z, outcome: unknown }]),
      /^(I2: command z stored 1 of 2|command z says 2)/
    ],
    ["torn batch: read of a stream", but("read", stream(1), { invoked: 15n }), /^torn batch/],
    ["torn batch: read of the log", but("readLog", page(4, 1, 2, 3, 4), { ended: 55n }), /^torn batch/],
    ["stale read: of a stream", but("read", stream()), /^stale read/],
    ["stale read: of the log", but("readLog", page(2, 1, 2)), /^stale read/],
    ["stale read: after what another had read", but("readLog", page(2, 1, 2), { invoked: 43n }), /^stale read/],
    ["torn read: an event left out of a page", but("readLog", page(3, 1, 3)), /^torn read/],
    ["torn read: an event left out of a stream", but("read", stream(2)), /^torn read/],
    [
      "a page that claims to reach further",
      but("readLog", { ...page(3, 1, 2, 3), position: 9n } as never),
      /reached 9/
    ],
    ["conflict: a version that never was", but("refused", conflict(5)), /^conflict/],
    ["conflict: a version of the past", but("refused", conflict(-1)), /^conflict/],
    ["conflict: a version of the future", but("refused", conflict(2)), /^conflict/],
    ["conflict: a version in the midst of a batch", but("refused", conflict(0), { invoked: 5n }), /^conflict/],
    [
      "conflict: the version that was expected",
      also(append("u", [25, 45], conflict(1, 1), [["a", 1, 1]])),
      /^conflict/
    ],
    ["refused, and there", logged(rows, [x, y, { ...z, outcome: conflict(1) }]), /^I2: command z was refused/],
    [
      "refused, though stored before",
      also(append("x", [70, 75], conflict(2, -1), [["a", 2, -1]])),
      /^I2: command x was refused/
    ],
    ["told another version", but("y", stored([1, 3])), /^I1/],
    ["told another position", but("y", stored([0, 4])), /^I1/],
    [
      "stored against its expectation",
      logged(rows, [x, y, append("z", [50, 60], z.outcome, [["a", 1, 7], ["b", 1]])]),
      /^I5/
    ],
    [
      "two winners of one version",
      also(append("t", [12, 20], stored([0, 1]), [["a", 2, -1]])),
      /^I5: x and t both won/
    ],
    ["failed in another way", but("lost", { _tag: "Unexpected", why: "died" }), /died/],
    ["delivered: one missing at the end", delivered(deliveries.slice(0, 4)), /^I6/],
    ["delivered: one skipped", delivered(deliveries.filter((_, i) => i !== 1)), /^I6/],
    ["delivered: one twice", delivered([deliveries[0]!, ...deliveries]), /^I6/],
    ["delivered: in another order", delivered(deliveries.toReversed()), /^I6/],
    ["delivered: before it was asked for", delivered(deliveries.with(4, { ...deliveries[4]!, at: 45n })), /^I6/],
    ["a row that changed", { ...sound, earlier: [{ ...rows[0]!, digest: "other" }] }, /^I10/],
    ["a row that went", { ...logged(rows.slice(0, 3), [x, y]), earlier: rows }, /^I10/]
  ])("finds what is wrong: %s", (_, evidence, expected) => {
    assert.isTrue(
      Checker.violations(evidence).some((violation) => expected.test(violation)),
      Checker.violations(evidence).join("\n")
    )
  })

  it("reads what a killed process has left", () => {
    const folder = mkdtempSync(join(tmpdir(), "faults-"))
    const file = join(folder, "records.jsonl")
    const record = recorder(file)
    record.begin("reader", { _tag: "ReadLog", after: 2n, limit: 3 })(page(3, 3))
    record.begin("writer", x.call)
    record.deliver("follower", rows[0]!)
    writeFileSync(file, "{\"invoke\":\"half a li", { flag: "a" })
    const { deliveries, operations } = readHistory([file])
    assert.deepStrictEqual(operations.map(({ call, outcome: { _tag } }) => [call, _tag]), [
      [{ _tag: "ReadLog", after: 2n, limit: 3 }, "Page"],
      [x.call, "Unknown"]
    ])
    assert.strictEqual(operations[1]?.ended, undefined)
    assert.deepInclude(operations[0]?.outcome, { position: 3n, head: 3n })
    assert.strictEqual(deliveries[0]?.event.position, 1n)
    rmSync(folder, { recursive: true })
  })
})
