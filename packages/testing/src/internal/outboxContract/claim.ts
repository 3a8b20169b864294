import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as Outbox from "@composable-ts/core/Outbox"
import * as Effect from "effect/Effect"
import assert from "node:assert/strict"
import { freshStream, several } from "../eventStoreContract/fixture.ts"
import {
  type Case,
  claimAll,
  claimOne,
  countsOf,
  entries,
  freshKind,
  long,
  none,
  type Stores,
  whenDue
} from "./fixture.ts"

const { any } = ExpectedVersion

const numbers = (claims: ReadonlyArray<Outbox.Claim>): ReadonlyArray<number> =>
  claims.map(({ body }) => Number((body as { readonly nr: number }).nr))

const put = ({ events }: Stores, ...outbox: ReadonlyArray<Outbox.OutboxEntry>) =>
  events.append(freshStream(), any, several(1), { outbox })

export const claimCases: ReadonlyArray<Case> = [
  {
    name: "claim: nothing where nothing is due, and nobody gets what is claimed",
    check: (stores) =>
      Effect.gen(function*() {
        const kind = freshKind()
        assert.deepEqual(yield* claimAll(stores, kind), [])
        yield* stores.events.append(freshStream(), any, several(1), { outbox: entries(kind) })
        yield* claimOne(stores, kind)
        assert.deepEqual(yield* claimAll(stores, kind), [])
        assert.deepEqual(yield* countsOf(stores, kind), { ...none, claimed: 1 })
      })
  },
  {
    name: "claim: of 16 workers at once no two get the same entry, and each entry is got",
    check: (stores) =>
      Effect.gen(function*() {
        const kind = freshKind()
        for (let i = 0; i < 5; i++) {
          yield* stores.events.append(freshStream(), any, several(1), { outbox: entries(kind, 40) })
        }
        const claimed: Array<string> = []
        yield* Effect.forEach(Array.from({ length: 16 }), () =>
          Effect.gen(function*() {
            while (true) {
              const claims = yield* stores.outbox.claim({ kinds: [kind], limit: 7, lease: long })
              if (claims.length === 0) return
              claimed.push(...claims.map(Outbox.idempotencyKey))
            }
          }), { concurrency: "unbounded" })
        assert.equal(claimed.length, 200)
        assert.equal(new Set(claimed).size, 200)
      })
  },
  {
    name: "claim: no more than the limit, those that are due for longest first, then by position and number",
    check: (stores) =>
      Effect.gen(function*() {
        const kind = freshKind()
        yield* put(stores, { kind, body: { nr: 4 }, delay: 300 }, ...entries(kind, 2))
        yield* put(stores, { kind, body: { nr: 2 } }, { kind, body: { nr: 3 }, delay: 30 })
        yield* Effect.sleep("350 millis")
        const order: Array<number> = []
        for (const limit of [1, 3, 2]) {
          const claims = yield* stores.outbox.claim({ kinds: [kind], limit, lease: long })
          assert.ok(claims.length <= limit)
          order.push(...numbers(claims))
        }
        assert.deepEqual(order, [0, 1, 2, 3, 4])
      })
  },
  {
    name: "claim: of the kinds that are asked for, or of all",
    check: (stores) =>
      Effect.gen(function*() {
        const kinds = [freshKind(), freshKind(), freshKind()]
        yield* stores.events.append(freshStream(), any, several(1), {
          outbox: kinds.flatMap((kind, nr) => [{ kind, body: { nr } }, { kind, body: { nr: nr + 10 } }])
        })
        const claim = (limit: number, ...nrs: ReadonlyArray<number>) =>
          stores.outbox.claim({ kinds: nrs.map((nr) => kinds[nr]!), limit, lease: long })
        assert.deepEqual(yield* claim(10), [])
        assert.deepEqual(numbers(yield* claim(10, 1)), [1, 11])
        assert.deepEqual(numbers(yield* claim(3, 0, 2, 2)), [0, 10, 2])
        const left = numbers(
          (yield* stores.outbox.claim({ limit: 1_000_000, lease: long })).filter(({ kind }) => kinds.includes(kind))
        )
        assert.deepEqual(left, [12])
      })
  },
  {
    name: "claim: an entry is not due before its delay is over",
    check: (stores) =>
      Effect.gen(function*() {
        const [soon, late] = [freshKind(), freshKind()]
        yield* stores.events.append(freshStream(), any, several(1), {
          outbox: [{ kind: soon, body: 1, delay: 120 }, { kind: late, body: 2, delay: Outbox.maxDelay }]
        })
        const [{ recordedAt } = { recordedAt: 0 }] = (yield* stores.events.readAll({ after: 0n, limit: 1_000_000 }))
          .events.slice(-1)
        const [claim] = yield* whenDue(stores, soon)
        assert.equal(claim!.dueAt, recordedAt + 120)
        yield* stores.events.append(freshStream(), any, several(1))
        const now = (yield* stores.events.readAll({ after: 0n, limit: 1_000_000 })).events.at(-1)!.recordedAt
        assert.ok(now >= claim!.dueAt, `claimed ${claim!.dueAt - now} ms early`)
        assert.deepEqual(yield* countsOf(stores, late), { ...none, delayed: 1 })
      })
  },
  {
    name: "claim: when a lease runs out, another gets the entry, once more attempted, and the first is fenced off",
    check: (stores) =>
      Effect.gen(function*() {
        const kind = freshKind()
        yield* stores.events.append(freshStream(), any, several(1), { outbox: entries(kind) })
        const [first] = yield* stores.outbox.claim({ kinds: [kind], limit: 1, lease: "60 millis" })
        const [second] = yield* whenDue(stores, kind)
        assert.deepEqual({ ...second, attempt: 1, token: 0n }, { ...first, token: 0n })
        assert.equal(second!.attempt, 2)
        for (
          const end of [
            stores.outbox.complete([first!]),
            stores.outbox.retry(first!, { after: 0, error: "late" }),
            stores.outbox.park(first!, "late")
          ]
        ) {
          const error = yield* Effect.flip(end)
          assert.ok(error instanceof Outbox.StaleClaim, String(error))
          assert.deepEqual(error.entries, [{ globalPosition: first!.globalPosition, index: 0 }])
        }
        assert.deepEqual(yield* countsOf(stores, kind), { ...none, claimed: 1 })
        yield* stores.outbox.complete([second!])
        assert.deepEqual(yield* countsOf(stores, kind), none)
      })
  }
]
