import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as Outbox from "@composable-ts/core/Outbox"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import assert from "node:assert/strict"
import { freshStream, several } from "../eventStoreContract/fixture.ts"
import { type Case, claimAll, claimOne, countsOf, entries, freshKind, long, none, type Stores } from "./fixture.ts"

const { any } = ExpectedVersion

const ordered = (kind: string, count: number): ReadonlyArray<Outbox.OutboxEntry> =>
  entries(kind, count).map(({ body }) => ({ kind, body, ordered: true }))

const places = (claims: ReadonlyArray<Outbox.Claim>): ReadonlyArray<number> => claims.map(({ index }) => index)

const claimAs = ({ outbox }: Stores, kind: string, worker: string | undefined, limit = 1) =>
  outbox.claim({ kinds: [kind], limit, lease: long, worker })

export const orderCases: ReadonlyArray<Case> = [
  {
    name: "order: of the ordered entries of a stream no two workers have any at the same time",
    check: (stores) =>
      Effect.gen(function*() {
        const kind = freshKind()
        yield* stores.events.append(freshStream(), any, several(1), { outbox: ordered(kind, 5) })
        const [first] = yield* claimAs(stores, kind, "a")
        assert.equal(first!.index, 0)
        assert.deepEqual(yield* claimAs(stores, kind, "b", 5), [])
        assert.deepEqual(yield* claimAs(stores, kind, undefined, 5), [])
        const [second] = yield* claimAs(stores, kind, "a")
        assert.equal(second!.index, 1)
        yield* stores.outbox.complete([first!])
        assert.deepEqual(yield* claimAs(stores, kind, "b", 5), [])
        yield* stores.outbox.complete([second!])
        assert.deepEqual(places(yield* claimAs(stores, kind, "b", 2)), [2, 3])
        assert.deepEqual(yield* claimAs(stores, kind, "a", 5), [])
      })
  },
  {
    name: "order: streams do not wait for each other, nor do entries that are not ordered or not due",
    check: (stores) =>
      Effect.gen(function*() {
        const kind = freshKind()
        const timer = { kind, body: null, ordered: true, delay: 3_600_000 }
        yield* stores.events.append(freshStream(), any, several(1), { outbox: [timer, ...ordered(kind, 2)] })
        yield* stores.events.append(freshStream(), any, several(1), { outbox: ordered(kind, 1) })
        yield* stores.events.append(freshStream(), any, several(1), {
          outbox: [...ordered(kind, 1), ...entries(kind, 1)]
        })
        assert.deepEqual(places(yield* claimAs(stores, kind, "a", 1)), [1])
        assert.deepEqual(places(yield* claimAs(stores, kind, "b", 9)), [0, 0, 1])
      })
  },
  {
    name: "order: one that failed, or is dead, has started, and holds nobody up",
    check: (stores) =>
      Effect.gen(function*() {
        const kind = freshKind()
        yield* stores.events.append(freshStream(), any, several(1), { outbox: ordered(kind, 3) })
        const [first] = yield* claimAs(stores, kind, "a")
        yield* stores.outbox.retry(first!, { after: "1 hour", error: "" })
        const [second] = yield* claimAs(stores, kind, "b")
        assert.equal(second!.index, 1)
        yield* stores.outbox.park(second!, "")
        assert.deepEqual(places(yield* claimAs(stores, kind, "a", 5)), [2])
      })
  },
  {
    name: "order: what a worker had that vanished is claimed again before what is behind it",
    check: (stores) =>
      Effect.gen(function*() {
        const kind = freshKind()
        yield* stores.events.append(freshStream(), any, several(1), { outbox: ordered(kind, 3) })
        yield* stores.outbox.claim({ kinds: [kind], limit: 1, lease: "40 millis", worker: "a" })
        const again = yield* Effect.repeat(claimAs(stores, kind, "b", 1), {
          until: (claims) => claims.length > 0,
          schedule: Schedule.spaced("5 millis")
        })
        assert.deepEqual(places(again), [0])
        assert.equal(again[0]!.attempt, 2)
        assert.deepEqual(yield* claimAs(stores, kind, "a", 5), [])
      })
  },
  {
    name: "order: of 8 workers at once each stream's entries are claimed in order, one after the other",
    check: (stores) =>
      Effect.gen(function*() {
        const kind = freshKind()
        const streams = Array.from({ length: 6 }, freshStream)
        for (let i = 0; i < 3; i++) {
          for (const stream of streams) {
            yield* stores.events.append(stream, any, several(1), { outbox: ordered(kind, 4) })
          }
        }
        const begun = new Map<string, Array<Outbox.Claim>>()
        const underWay = new Map<string, string>()
        let left = 72
        yield* Effect.forEach(Array.from({ length: 8 }), (_, nr) =>
          Effect.gen(function*() {
            const worker = `w-${nr}`
            while (left > 0) {
              const claims = yield* claimAs(stores, kind, worker, 3)
              for (const claim of claims) {
                assert.equal(underWay.get(claim.streamId) ?? worker, worker)
                underWay.set(claim.streamId, worker)
                begun.set(claim.streamId, [...begun.get(claim.streamId) ?? [], claim])
              }
              left -= claims.length
              yield* Effect.sleep("1 millis")
              for (const claim of claims) underWay.delete(claim.streamId)
              yield* stores.outbox.complete(claims)
            }
          }), { concurrency: "unbounded" })
        for (const claims of begun.values()) {
          assert.deepEqual(
            claims.map(Outbox.idempotencyKey),
            claims.toSorted(Outbox.byPlace).map(Outbox.idempotencyKey)
          )
        }
      })
  },
  {
    name: "extend: a lease that is lengthened does not run out; those that hold no more are named",
    check: (stores) =>
      Effect.gen(function*() {
        const kind = freshKind()
        yield* stores.events.append(freshStream(), any, several(1), { outbox: entries(kind, 3) })
        const [first, second, third] = yield* stores.outbox.claim({ kinds: [kind], limit: 3, lease: "60 millis" })
        yield* stores.outbox.complete([third!])
        yield* stores.outbox.extend([], long)
        const error = yield* Effect.flip(stores.outbox.extend([third!, first!], long))
        assert.ok(error instanceof Outbox.StaleClaim)
        assert.deepEqual(error.entries.map(Outbox.idempotencyKey), [Outbox.idempotencyKey(third!)])
        const again = yield* Effect.repeat(claimAll(stores, kind), {
          until: (claims) => claims.length > 0,
          schedule: Schedule.spaced("5 millis")
        })
        assert.deepEqual(places(again), [second!.index])
        yield* stores.outbox.complete([first!])
      })
  },
  {
    name: "release: what is given back is due at once, the attempt is not counted, and the claim holds no more",
    check: (stores) =>
      Effect.gen(function*() {
        const kind = freshKind()
        yield* stores.events.append(freshStream(), any, several(1), { outbox: entries(kind, 2) })
        const claims = yield* claimAll(stores, kind)
        yield* stores.outbox.complete([claims[1]!])
        yield* stores.outbox.release(claims)
        assert.ok((yield* Effect.flip(stores.outbox.complete([claims[0]!]))) instanceof Outbox.StaleClaim)
        const again = yield* claimOne(stores, kind)
        assert.deepEqual([again.index, again.attempt], [0, 1])
      })
  },
  {
    name: "agenda: for how long something is due, and when the next falls due, be it by its time or its lease",
    check: (stores) =>
      Effect.gen(function*() {
        const kind = freshKind()
        const agenda = stores.outbox.agenda([kind])
        assert.deepEqual(yield* agenda, { overdue: undefined, next: undefined })
        yield* stores.events.append(freshStream(), any, several(1), {
          outbox: [...entries(kind), { kind, body: null, delay: 3_600_000 }]
        })
        const first = yield* agenda
        assert.ok(first.overdue! >= 0 && first.overdue! < 600_000, `overdue by ${first.overdue}`)
        assert.ok(first.next! > 3_000_000 && first.next! <= 3_600_000, `next in ${first.next}`)
        const claim = yield* claimOne(stores, kind)
        const second = yield* agenda
        assert.equal(second.overdue, undefined)
        assert.ok(second.next! > 0 && second.next! <= 600_000, `next in ${second.next}`)
        yield* stores.outbox.complete([claim])
        assert.ok((yield* stores.outbox.agenda()).next !== undefined)
      })
  },
  {
    name: "list: each entry with its standing, by stream, kind and standing, page by page",
    check: (stores) =>
      Effect.gen(function*() {
        const [kind, streamId] = [freshKind(), freshStream()]
        yield* stores.events.append(streamId, any, several(1), {
          outbox: [...entries(kind, 4), { kind, body: null, delay: 3_600_000 }, { kind: `${kind}-2`, body: null }]
        })
        yield* stores.events.append(freshStream(), any, several(1), { outbox: entries(kind) })
        const [first, second, third] = yield* stores.outbox.claim({ kinds: [kind], limit: 3, lease: long })
        yield* stores.outbox.park(first!, "broken")
        yield* stores.outbox.retry(second!, { after: "1 hour", error: "again" })
        const all = yield* stores.outbox.list({ streamId, limit: 10 })
        assert.deepEqual(all.map(({ status }) => status), ["dead", "retrying", "running", "due", "waiting", "due"])
        assert.deepEqual(all.map(({ error }) => error).slice(0, 3), ["broken", "again", undefined])
        const { token: _token, ...running } = third!
        assert.deepEqual(all[2], { ...running, status: "running" })
        const due = yield* stores.outbox.list({ kinds: [kind], status: "due", limit: 10 })
        assert.deepEqual(due.map((entry) => [entry.streamId === streamId, entry.index]), [[true, 3], [false, 0]])
        const page = yield* stores.outbox.list({ streamId, after: all[1]!, limit: 2 })
        assert.deepEqual(page, all.slice(2, 4))
        assert.deepEqual(yield* countsOf(stores, `${kind}-2`), { ...none, due: 1 })
      })
  }
]
