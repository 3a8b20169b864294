import type { Held } from "@composable-ts/projections/Lease"
import * as Effect from "effect/Effect"
import assert from "node:assert/strict"
import { type Case, declared, freshId, membersOf, owners } from "./fixture.ts"

const sorted = (all: ReadonlyArray<Held>) => all.toSorted((x, y) => x.name < y.name ? -1 : 1)

export const membersCases: ReadonlyArray<Case> = [
  {
    name: "renew: makes a process a member of what it runs, once",
    check: (leases) =>
      Effect.gen(function*() {
        const { subscriber } = yield* declared(leases, 1)
        const { subscriber: other } = yield* declared(leases, 1)
        const members = [freshId(), freshId()].toSorted()
        for (const member of [...members, ...members]) {
          assert.deepEqual(yield* leases.renew(member, [subscriber]), [])
        }
        assert.deepEqual(yield* membersOf(leases, subscriber), members)
        assert.deepEqual(yield* membersOf(leases, other), [])
      })
  },
  {
    name: "renew: tells what a process owns, of all subscribers, and nothing of others",
    check: (leases) =>
      Effect.gen(function*() {
        const a = yield* declared(leases, 2)
        const b = yield* declared(leases, 1)
        const [mine, theirs] = [freshId(), freshId()]
        const taken = yield* leases.take(mine, [...a.parts.slice(0, 1), ...b.parts])
        yield* leases.take(theirs, a.parts)
        const renewed = yield* leases.renew(mine, [a.subscriber, b.subscriber])
        assert.deepEqual(sorted(renewed), sorted(taken))
      })
  },
  {
    name: "leave: ends the membership of one subscriber and frees its leases at once",
    check: (leases) =>
      Effect.gen(function*() {
        const a = yield* declared(leases, 3)
        const b = yield* declared(leases, 1)
        const [leaving, staying] = [freshId(), freshId()]
        yield* leases.take(leaving, [...a.parts.slice(0, 2), ...b.parts])
        yield* leases.take(staying, a.parts)
        for (const member of [leaving, staying]) yield* leases.renew(member, [a.subscriber, b.subscriber])
        yield* leases.leave(leaving, a.subscriber)
        assert.deepEqual(yield* membersOf(leases, a.subscriber), [staying])
        assert.deepEqual(yield* owners(leases, a.subscriber), [undefined, undefined, staying])
        assert.deepEqual(yield* membersOf(leases, b.subscriber), [leaving, staying].toSorted())
        assert.deepEqual(yield* owners(leases, b.subscriber), [leaving])
        yield* leases.leave(leaving, a.subscriber)
      })
  }
]
