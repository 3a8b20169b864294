import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as Outbox from "@composable-ts/core/Outbox"
import * as Effect from "effect/Effect"
import assert from "node:assert/strict"
import { freshStream, several } from "../eventStoreContract/fixture.ts"
import { type Case, claimAll, claimOne, countsOf, entries, freshKind, none, type Stores, whenDue } from "./fixture.ts"

const { any } = ExpectedVersion

const put = ({ events }: Stores, kind: string, count = 1) =>
  events.append(freshStream(), any, several(1), { outbox: entries(kind, count) })

const idOf = ({ globalPosition, index }: Outbox.EntryId): Outbox.EntryId => ({ globalPosition, index })

/** All dead entries of a kind, page by page. */
const deadOf = ({ outbox }: Stores, kind: string) =>
  Effect.gen(function*() {
    const all: Array<Outbox.DeadEntry> = []
    let after: Outbox.EntryId | undefined
    while (true) {
      const page = yield* outbox.dead({ after, limit: 2 })
      assert.ok(page.length <= 2)
      all.push(...page)
      after = page.at(-1)
      if (after === undefined) return all.filter((entry) => entry.kind === kind)
    }
  })

export const endCases: ReadonlyArray<Case> = [
  {
    name: "complete: removes the entries, and a second time says that the claims are stale",
    check: (stores) =>
      Effect.gen(function*() {
        const kind = freshKind()
        yield* put(stores, kind, 3)
        const [first, second, third] = yield* claimAll(stores, kind)
        yield* stores.outbox.complete([])
        yield* stores.outbox.complete([first!])
        const error = yield* Effect.flip(stores.outbox.complete([first!, second!]))
        assert.ok(error instanceof Outbox.StaleClaim)
        assert.deepEqual(error.entries, [idOf(first!)])
        assert.deepEqual(yield* countsOf(stores, kind), { ...none, claimed: 1 })
        assert.ok(
          (yield* Effect.flip(stores.outbox.complete([{ ...third!, token: third!.token + 1n }]))) instanceof
            Outbox.StaleClaim
        )
        yield* stores.outbox.complete([third!])
        assert.deepEqual(yield* countsOf(stores, kind), none)
      })
  },
  {
    name: "complete: of 8 completions of a claim at once one does it",
    check: (stores) =>
      Effect.gen(function*() {
        const kind = freshKind()
        yield* put(stores, kind)
        const claim = yield* claimOne(stores, kind)
        const results = yield* Effect.forEach(
          Array.from({ length: 8 }),
          () => Effect.result(stores.outbox.complete([claim])),
          { concurrency: "unbounded" }
        )
        assert.equal(results.filter(({ _tag }) => _tag === "Success").length, 1)
      })
  },
  {
    name: "retry: the entry is due again after the delay, with what went wrong; the claim holds no more",
    check: (stores) =>
      Effect.gen(function*() {
        const kind = freshKind()
        yield* put(stores, kind)
        const first = yield* claimOne(stores, kind)
        yield* stores.outbox.retry(first, { after: "80 millis", error: "no \0 answer" })
        assert.ok((yield* Effect.flip(stores.outbox.complete([first]))) instanceof Outbox.StaleClaim)
        const [second] = yield* whenDue(stores, kind)
        assert.deepEqual(
          [second!.attempt, second!.error, second!.body],
          [2, "no \uFFFD answer", { nr: 0 }]
        )
        assert.ok(second!.dueAt >= first.dueAt + 80)
        yield* stores.outbox.retry(second!, { after: "1 hour", error: "e".repeat(20_000) })
        assert.deepEqual(yield* countsOf(stores, kind), { ...none, delayed: 1 })
      })
  },
  {
    name: "park: nobody gets the entry any more, and it is listed as dead with its error",
    check: (stores) =>
      Effect.gen(function*() {
        const kind = freshKind()
        yield* put(stores, kind, 5)
        const claims = yield* claimAll(stores, kind)
        yield* Effect.forEach(claims.toReversed(), (claim) => stores.outbox.park(claim, `error ${claim.index}`))
        assert.ok((yield* Effect.flip(stores.outbox.park(claims[0]!, "again"))) instanceof Outbox.StaleClaim)
        assert.ok((yield* Effect.flip(stores.outbox.complete([claims[0]!]))) instanceof Outbox.StaleClaim)
        assert.deepEqual(yield* claimAll(stores, kind), [])
        assert.deepEqual(yield* countsOf(stores, kind), { ...none, dead: 5 })
        const dead = yield* deadOf(stores, kind)
        assert.deepEqual(
          dead.map(({ parkedAt: _parkedAt, ...entry }) => entry),
          claims.map(({ token: _token, ...claim }) => Object.assign(claim, { error: `error ${claim.index}` }))
        )
        for (const { dueAt, parkedAt } of dead) assert.ok(parkedAt >= dueAt)
      })
  },
  {
    name: "revive: a dead entry is due at once, with its attempts counted anew",
    check: (stores) =>
      Effect.gen(function*() {
        const kind = freshKind()
        yield* put(stores, kind, 2)
        const [first, second] = yield* claimAll(stores, kind)
        yield* stores.outbox.park(first!, "broken")
        assert.equal(
          yield* stores.outbox.revive([first!, second!, { globalPosition: first!.globalPosition, index: 9 }]),
          1
        )
        assert.equal(yield* stores.outbox.revive([first!]), 0)
        assert.ok((yield* Effect.flip(stores.outbox.complete([first!]))) instanceof Outbox.StaleClaim)
        const again = yield* claimOne(stores, kind)
        assert.deepEqual([idOf(again), again.attempt, again.error], [idOf(first!), 1, "broken"])
        yield* stores.outbox.complete([again, second!])
        assert.deepEqual(yield* countsOf(stores, kind), none)
      })
  },
  {
    name: "discard: removes dead entries for good, and no others",
    check: (stores) =>
      Effect.gen(function*() {
        const kind = freshKind()
        yield* put(stores, kind, 2)
        const [first, second] = yield* claimAll(stores, kind)
        yield* stores.outbox.park(first!, "broken")
        assert.equal(yield* stores.outbox.discard([first!, second!]), 1)
        assert.equal(yield* stores.outbox.discard([first!]), 0)
        assert.equal(yield* stores.outbox.revive([first!]), 0)
        assert.deepEqual(yield* countsOf(stores, kind), { ...none, claimed: 1 })
      })
  }
]
