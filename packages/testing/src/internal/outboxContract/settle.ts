import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as Outbox from "@composable-ts/core/Outbox"
import * as Effect from "effect/Effect"
import assert from "node:assert/strict"
import { freshId, freshStream, several } from "../eventStoreContract/fixture.ts"
import { type Case, claimAll, claimOne, countsOf, entries, freshKind, none, type Stores } from "./fixture.ts"

const { any, noStream } = ExpectedVersion

const put = ({ events }: Stores, kind: string, count = 1) =>
  events.append(freshStream(), any, several(1), { outbox: entries(kind, count) })

const keys = ({ outbox }: Stores, streamId: string) =>
  Effect.map(outbox.list({ streamId, limit: 100 }), (all) => all.map(({ key }) => key))

export const settleCases: ReadonlyArray<Case> = [
  {
    name: "settle: an append completes claims, or gives them up, exactly when its events are stored",
    check: (stores) =>
      Effect.gen(function*() {
        const kind = freshKind()
        yield* put(stores, kind, 3)
        const [first, second, third] = yield* claimAll(stores, kind)
        const streamId = freshStream()
        const settles = [{ ...second!, deadBecause: "no \0 use" }, first!]
        yield* stores.events.append(streamId, noStream, several(2), { settles, outbox: entries(kind) })
        assert.deepEqual(yield* countsOf(stores, kind), { ...none, claimed: 1, dead: 1, due: 1 })
        const [dead] = yield* stores.outbox.list({ kinds: [kind], status: "dead", limit: 10 })
        assert.deepEqual([dead!.index, dead!.error], [1, "no \uFFFD use"])
        yield* Effect.flip(stores.events.append(streamId, noStream, several(1), { settles: [third!] }))
        assert.deepEqual(yield* countsOf(stores, kind), { ...none, claimed: 1, dead: 1, due: 1 })
      })
  },
  {
    name: "settle: with a stale claim the append fails, alone of those at the same time, and nothing is written",
    check: (stores) =>
      Effect.gen(function*() {
        const kind = freshKind()
        yield* put(stores, kind, 8)
        const claims = yield* claimAll(stores, kind)
        const [lost, ...good] = claims
        yield* stores.outbox.retry(lost!, { after: "1 hour", error: "" })
        const streams = claims.map(() => freshStream())
        const results = yield* Effect.forEach(claims, (claim, i) =>
          Effect.result(stores.events.append(streams[i]!, noStream, several(1 + i % 2), {
            // The lost one is among others that hold.
            settles: i === 0 ? [claim, good[0]!] : i === 1 ? [] : [claim],
            outbox: [{ kind: `${kind}-next`, body: i }],
            cancels: [{ prefix: "" }]
          })), { concurrency: "unbounded" })
        assert.deepEqual(
          results.map(({ _tag }) =>
            _tag
          ),
          [
            "Failure",
            ...good.map(() =>
              "Success"
            )
          ]
        )
        const [failed] = results
        assert.ok(failed!._tag === "Failure" && failed!.failure instanceof Outbox.StaleClaim)
        assert.deepEqual(yield* stores.events.read(streams[0]!), [])
        assert.equal((yield* countsOf(stores, `${kind}-next`)).due, 7)
        assert.deepEqual(yield* countsOf(stores, kind), { ...none, claimed: 1, delayed: 1 })
      })
  },
  {
    name: "settle: of 6 appends at once that settle one claim one is stored",
    check: (stores) =>
      Effect.gen(function*() {
        const kind = freshKind()
        yield* put(stores, kind)
        const claim = yield* claimOne(stores, kind)
        const results = yield* Effect.forEach(
          Array.from({ length: 6 }),
          () => Effect.result(stores.events.append(freshStream(), noStream, several(1), { settles: [claim] })),
          { concurrency: "unbounded" }
        )
        assert.equal(results.filter(({ _tag }) => _tag === "Success").length, 1)
        assert.deepEqual(yield* countsOf(stores, kind), none)
      })
  },
  {
    name: "settle: a repeated command gets its first outcome, with the claim that it settled before",
    check: (stores) =>
      Effect.gen(function*() {
        const kind = freshKind()
        yield* put(stores, kind, 2)
        const [first, second] = yield* claimAll(stores, kind)
        const [streamId, commandId] = [freshStream(), freshId()]
        const append = (settles: ReadonlyArray<Outbox.Settlement>) =>
          stores.events.append(streamId, any, several(1), { commandId, settles })
        yield* append([first!])
        assert.ok((yield* append([first!])).duplicate)
        assert.ok((yield* append([second!])).duplicate)
        assert.deepEqual(yield* countsOf(stores, kind), { ...none, claimed: 1 })
      })
  },
  {
    name: "cancel: an append removes what its stream stored before under a key or a prefix, also from under a worker",
    check: (stores) =>
      Effect.gen(function*() {
        const [kind, streamId, other] = [freshKind(), freshStream(), freshStream()]
        const keyed = (...names: ReadonlyArray<string>) => names.map((key) => ({ kind, key, body: null }))
        yield* stores.events.append(streamId, any, several(1), {
          outbox: [...keyed("a", "b", "b.c"), ...entries(kind)]
        })
        yield* stores.events.append(other, any, several(1), { outbox: keyed("a") })
        const claims = yield* claimAll(stores, kind)
        const commandId = freshId()
        const cancel = stores.events.append(streamId, any, several(1), {
          commandId,
          cancels: [{ key: "a" }],
          outbox: keyed("a")
        })
        yield* cancel
        yield* cancel
        assert.deepEqual(yield* keys(stores, streamId), ["b", "b.c", undefined, "a"])
        assert.ok((yield* Effect.flip(stores.outbox.complete([claims[0]!]))) instanceof Outbox.StaleClaim)
        yield* stores.events.append(streamId, any, several(1), { cancels: [{ prefix: "b" }] })
        assert.deepEqual(yield* keys(stores, streamId), [undefined, "a"])
        yield* stores.events.append(streamId, any, several(1), { cancels: [{ prefix: "" }] })
        assert.deepEqual(yield* keys(stores, streamId), [undefined])
        assert.deepEqual(yield* keys(stores, other), ["a"])
        yield* Effect.flip(stores.events.append(other, noStream, several(1), { cancels: [{ prefix: "" }] }))
        assert.deepEqual(yield* keys(stores, other), ["a"])
      })
  },
  {
    name: "cancel: what appends at the same time store and cancel goes by the order in which they were stored",
    check: (stores) =>
      Effect.gen(function*() {
        const [kind, streamId] = [freshKind(), freshStream()]
        const results = yield* Effect.forEach(Array.from({ length: 20 }), () =>
          stores.events.append(streamId, any, several(1), {
            cancels: [{ key: "one" }],
            outbox: [{ kind, key: "one", body: null }]
          }), { concurrency: "unbounded" })
        const left = yield* stores.outbox.list({ streamId, limit: 100 })
        const last = results.map(({ globalPosition }) =>
          globalPosition
        ).toSorted((a, b) =>
          a < b ? 1 : -1
        )[0]
        assert.deepEqual(left.map(({ globalPosition }) => globalPosition), [last])
      })
  },
  {
    name: "cancel: by hand, removes what is not dead, and says how many there were",
    check: (stores) =>
      Effect.gen(function*() {
        const kind = freshKind()
        yield* put(stores, kind, 4)
        const [first, second] = yield* stores.outbox.claim({ kinds: [kind], limit: 2, lease: "1 hour" })
        yield* stores.outbox.park(first!, "broken")
        const third = { ...second!, index: 2 }
        assert.equal(yield* stores.outbox.cancel([first!, second!, third, { ...third, index: 9 }]), 2)
        assert.ok((yield* Effect.flip(stores.outbox.complete([second!]))) instanceof Outbox.StaleClaim)
        assert.deepEqual(yield* countsOf(stores, kind), { ...none, due: 1, dead: 1 })
      })
  },
  {
    name: "tombstone: takes its stream's entries away, dead ones and claimed ones too, and no others",
    check: (stores) =>
      Effect.gen(function*() {
        const [kind, streamId] = [freshKind(), freshStream()]
        yield* stores.events.append(streamId, any, several(1), { outbox: entries(kind, 3) })
        const [first, second] = yield* stores.outbox.claim({ kinds: [kind], limit: 2, lease: "1 hour" })
        yield* stores.outbox.park(first!, "broken")
        yield* put(stores, kind)
        yield* stores.events.tombstone(streamId, any, { reason: "asked for" })
        assert.deepEqual(yield* countsOf(stores, kind), { ...none, due: 1 })
        assert.ok((yield* Effect.flip(stores.outbox.complete([second!]))) instanceof Outbox.StaleClaim)
      })
  }
]
