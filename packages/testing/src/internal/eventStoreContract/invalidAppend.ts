import type { AppendOptions, StreamAppend } from "@composable-ts/core/EventStore"
import { InvalidAppend } from "@composable-ts/core/EventStoreError"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import type { EncodedEvent } from "@composable-ts/core/RecordedEvent"
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import assert from "node:assert/strict"
import { type Case, counted, freshStream, storesNothing, versions } from "./fixture.ts"

/** What the types forbid, for programs that do without them. */
const untyped = <A>(none: ReadonlyArray<A>): NonEmptyReadonlyArray<A> => none as NonEmptyReadonlyArray<A>

const to = (
  expected: ExpectedVersion.ExpectedVersion,
  events: ReadonlyArray<EncodedEvent> = [counted(1)]
): StreamAppend => ({ streamId: freshStream(), expected, events: untyped(events) })

const refused = (
  name: string,
  appends: () => ReadonlyArray<StreamAppend>,
  options: AppendOptions = {}
): Case => ({
  name: `refuses ${name}, and stores nothing`,
  check: (store) =>
    Effect.gen(function*() {
      const error = yield* storesNothing(store, Effect.flip(store.transact(untyped(appends()), options)))
      assert.ok(error instanceof InvalidAppend, `expected InvalidAppend, got ${String(error)}`)
      assert.ok(error.issue.length > 0)
    })
})

const one = () => [to(ExpectedVersion.any)]

const noVersions = [-2, -1_000, 1.5, Number.NaN, Infinity, -Infinity, 2 ** 53]
const noIds = [
  ["an empty", ""],
  ["a 256 characters long", "x".repeat(256)],
  ["a", "with\0NUL"],
  ["a", "with half of a pair \ud83d"]
] as const

export const invalidAppendCases: ReadonlyArray<Case> = [
  refused("an append to no stream", () => []),
  refused("an append of no events", () => [to(ExpectedVersion.any, [])]),
  refused("appends of which one has no events", () => [to(ExpectedVersion.any), to(ExpectedVersion.noStream, [])]),
  ...noVersions.map((version) =>
    refused(`version ${version}`, () => [to(ExpectedVersion.any), to({ _tag: "Exact", version })])
  ),
  ...noIds.flatMap(([article, id]) => [
    refused(`${article} command id ${JSON.stringify(id.slice(0, 20))}`, one, { commandId: id }),
    refused(`${article} correlation id ${JSON.stringify(id.slice(0, 20))}`, one, { correlationId: id }),
    refused(`${article} causation id ${JSON.stringify(id.slice(0, 20))}`, one, { causationId: id }),
    refused(`${article} fingerprint ${JSON.stringify(id.slice(0, 20))}`, one, { fingerprint: id })
  ]),
  {
    name: "takes ids of 255 characters, whichever they are",
    check: (store) =>
      Effect.gen(function*() {
        const streamId = freshStream()
        const id = (`${streamId} ' " \\ % \n` + "—🦊é".repeat(255)).slice(0, 255).replace(/\p{Surrogate}$/u, "x")
        const options = { commandId: id, correlationId: `1${id.slice(1)}`, causationId: `2${id.slice(1)}` }
        yield* store.append(streamId, ExpectedVersion.noStream, [counted(1)], options)
        const [event] = yield* store.read(streamId)
        assert.equal(event?.commandId, options.commandId)
        assert.equal(event?.correlationId, options.correlationId)
        assert.equal(event?.causationId, options.causationId)
        assert.deepEqual(versions(yield* store.readCommand(id)), [0])
      })
  }
]
