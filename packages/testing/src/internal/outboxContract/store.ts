import { InvalidAppend } from "@composable-ts/core/EventStoreError"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as Outbox from "@composable-ts/core/Outbox"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import assert from "node:assert/strict"
import { freshId, freshStream, several } from "../eventStoreContract/fixture.ts"
import { type Case, claimAll, claimOne, countsOf, entries, freshKind, none } from "./fixture.ts"

const { any, exact, noStream } = ExpectedVersion

const refused = (issue: RegExp, entry: Partial<Outbox.OutboxEntry>): Case => ({
  name: `store: refuses an entry with ${issue.source}, and stores nothing`,
  check: ({ events }) =>
    Effect.gen(function*() {
      const streamId = freshStream()
      const outbox = [{ kind: freshKind(), body: 1, ...entry }]
      const error = yield* Effect.flip(events.append(streamId, any, several(1), { outbox }))
      assert.ok(error instanceof InvalidAppend, String(error))
      assert.match(error.issue, issue)
      assert.deepEqual(yield* events.read(streamId), [])
    })
})

const bodies: ReadonlyArray<Schema.Json> = [
  null,
  false,
  0,
  "",
  "\0 NUL, \u{1F980}, \\u0000 and \"quotes\"",
  [],
  {},
  [null, [1.5e300, -0.1, 2 ** 53 - 1]],
  { b: 1, a: { "": [true], "ü": null } }
]

export const storeCases: ReadonlyArray<Case> = [
  {
    name: "store: the entries of an append are there with its events, complete",
    check: (stores) =>
      Effect.gen(function*() {
        const kind = freshKind()
        const streamId = freshStream()
        const ids = { commandId: freshId(), correlationId: freshId() }
        const outbox = [{ kind, body: { to: "a" }, key: "mail" }, { kind, body: ["b"] }]
        const { globalPosition } = yield* stores.events.append(streamId, noStream, several(3), { ...ids, outbox })
        const [recorded] = yield* stores.events.read(streamId)
        const of = {
          ...ids,
          globalPosition: globalPosition - 2n,
          streamId,
          kind,
          attempt: 1,
          error: undefined,
          revivals: 0
        }
        const claims = yield* claimAll(stores, kind)
        assert.deepEqual(claims.map(({ dueAt: _dueAt, token: _token, ...claim }) => claim), [
          { ...of, index: 0, key: "mail", body: { to: "a" } },
          { ...of, index: 1, key: undefined, body: ["b"] }
        ])
        for (const { dueAt } of claims) assert.equal(dueAt, recorded!.recordedAt)
      })
  },
  {
    name: "store: an append of one event stores its entry, whose correlation is the command's own",
    check: (stores) =>
      Effect.gen(function*() {
        const kind = freshKind()
        const commandId = freshId()
        const streamId = freshStream()
        yield* stores.events.append(streamId, noStream, several(1), { commandId, outbox: entries(kind) })
        const claim = yield* claimOne(stores, kind)
        assert.deepEqual(
          [claim.commandId, claim.correlationId, claim.streamId, claim.body],
          [commandId, commandId, streamId, { nr: 0 }]
        )
      })
  },
  {
    name: "store: any JSON comes back exactly as a body",
    check: (stores) =>
      Effect.gen(function*() {
        const kind = freshKind()
        const outbox = bodies.map((body) => ({ kind, body }))
        yield* stores.events.append(freshStream(), any, several(1), { outbox })
        assert.deepEqual((yield* claimAll(stores, kind)).map(({ body }) => body), bodies)
      })
  },
  {
    name: "store: a body can be changed after the append without changing the entry",
    check: (stores) =>
      Effect.gen(function*() {
        const kind = freshKind()
        const body = { nr: 1 }
        yield* stores.events.append(freshStream(), any, several(1), { outbox: [{ kind, body }] })
        body.nr = 2
        assert.deepEqual((yield* claimOne(stores, kind)).body, { nr: 1 })
      })
  },
  {
    name: "store: a repeated command stores none again, whether its entries are there still or were completed",
    check: (stores) =>
      Effect.gen(function*() {
        const kind = freshKind()
        const streamId = freshStream()
        const commandId = freshId()
        const append = (count: number) =>
          stores.events.append(streamId, noStream, several(count), { commandId, outbox: entries(kind, 2) })
        yield* append(1)
        assert.equal((yield* append(1)).duplicate, true)
        const claims = yield* claimAll(stores, kind)
        assert.equal(claims.length, 2)
        yield* stores.outbox.complete(claims)
        assert.equal((yield* append(1)).duplicate, true)
        assert.equal((yield* Effect.flip(append(2)))._tag, "CommandIdConflict")
        assert.deepEqual(yield* countsOf(stores, kind), none)
      })
  },
  {
    name: "store: 32 repetitions of a command at once store its entries once",
    check: (stores) =>
      Effect.gen(function*() {
        const kind = freshKind()
        const streamId = freshStream()
        const options = { commandId: freshId(), outbox: entries(kind, 3) }
        const results = yield* Effect.forEach(
          Array.from({ length: 32 }),
          () => stores.events.append(streamId, any, several(1), options),
          { concurrency: "unbounded" }
        )
        assert.equal(results.filter(({ duplicate }) => !duplicate).length, 1)
        assert.deepEqual(yield* countsOf(stores, kind), { ...none, due: 3 })
      })
  },
  {
    name: "store: an append that meets a conflict stores none, and of many at once each winner its own",
    check: (stores) =>
      Effect.gen(function*() {
        const kind = freshKind()
        const streamId = freshStream()
        const error = yield* Effect.flip(
          stores.events.append(streamId, exact(4), several(1), { outbox: entries(kind) })
        )
        assert.equal(error._tag, "VersionConflict")
        assert.deepEqual(yield* countsOf(stores, kind), none)
        const streams = [freshStream(), freshStream(), freshStream(), freshStream()]
        const results = yield* Effect.forEach(
          Array.from({ length: 40 }, (_, i) => streams[i % streams.length]!),
          (streamId, nr) =>
            Effect.result(Effect.as(
              stores.events.append(streamId, noStream, several(2), { outbox: [{ kind, body: nr }] }),
              nr
            )),
          { concurrency: "unbounded" }
        )
        const winners = results.flatMap((result) => result._tag === "Success" ? [result.success] : [])
        assert.equal(winners.length, 4)
        const claims = yield* claimAll(stores, kind)
        assert.deepEqual(claims.map(({ body }) => Number(body)).toSorted((a, b) => a - b), winners)
        for (const { body, streamId } of claims) assert.equal(streamId, streams[Number(body) % streams.length])
      })
  },
  {
    name: "store: a tombstoned stream takes no entries",
    check: (stores) =>
      Effect.gen(function*() {
        const kind = freshKind()
        const streamId = freshStream()
        yield* stores.events.append(streamId, any, several(1))
        yield* stores.events.tombstone(streamId, any, { reason: "asked for" })
        yield* Effect.flip(stores.events.append(streamId, any, several(1), { outbox: entries(kind) }))
        assert.deepEqual(yield* countsOf(stores, kind), none)
      })
  },
  {
    name: "store: entries of a command for several streams are stored once, at the first of them, or not at all",
    check: (stores) =>
      Effect.gen(function*() {
        const kind = freshKind()
        const [first, second] = [freshStream(), freshStream()]
        const to = (streamId: typeof first, expected: ExpectedVersion.ExpectedVersion) => ({
          streamId,
          expected,
          events: several(2)
        })
        const failing = stores.events.transact([to(first, any), to(second, exact(9))], { outbox: entries(kind) })
        assert.equal((yield* Effect.flip(failing))._tag, "VersionConflict")
        assert.deepEqual(yield* countsOf(stores, kind), none)
        const [{ globalPosition }] = yield* stores.events.transact([to(first, any), to(second, any)], {
          outbox: entries(kind)
        })
        const claim = yield* claimOne(stores, kind)
        assert.deepEqual([claim.streamId, claim.globalPosition, claim.index], [first, globalPosition - 1n, 0])
      })
  },
  {
    name: "store: whoever listens for appends is woken, and finds the entry",
    check: (stores) =>
      Effect.gen(function*() {
        const kind = freshKind()
        const appended = yield* stores.events.listen
        yield* appended.pipe(Effect.timeoutOption("20 millis"))
        yield* stores.events.append(freshStream(), any, several(1), { outbox: entries(kind) })
        yield* appended
        yield* claimOne(stores, kind)
      })
  },
  refused(/kind of an outbox entry is empty/, { kind: "" }),
  refused(/kind of an outbox entry is longer than 255/, { kind: "k".repeat(256) }),
  refused(/key of an outbox entry holds a character that is not text/, { key: "\0" }),
  refused(/delay of -1/, { delay: -1 }),
  refused(/delay of 1.5/, { delay: 1.5 }),
  refused(/delay of NaN/, { delay: NaN }),
  refused(new RegExp(`delay of ${Outbox.maxDelay + 1}`), { delay: Outbox.maxDelay + 1 })
]
