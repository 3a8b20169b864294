import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import assert from "node:assert/strict"
import { type Case, declared, freshId, membersOf, owners, seen, until } from "./fixture.ts"

export const expiryCases: ReadonlyArray<Case> = [
  {
    name: "expiry: a lease that is not renewed becomes free, and its owner cannot harm the next",
    check: (leases) =>
      Effect.gen(function*() {
        const { parts, subscriber } = yield* declared(leases, 1)
        const [first, second] = [freshId(), freshId()]
        const [held] = yield* leases.take(first, parts)
        assert.ok(held !== undefined)
        const [lease] = yield* seen(leases, subscriber)
        assert.ok(Duration.toMillis(lease!.expiresIn) > 0)
        yield* until(Effect.map(leases.take(second, parts), ([taken]) => taken?.epoch === 2n))
        assert.deepEqual(yield* leases.renew(first, [subscriber]), [])
        yield* leases.release(first, held)
        yield* leases.leave(first, subscriber)
        assert.deepEqual(yield* owners(leases, subscriber), [second])
      })
  },
  {
    name: "expiry: a lease that is renewed stays, while another that was taken later expires",
    check: (leases) =>
      Effect.gen(function*() {
        const { parts, subscriber } = yield* declared(leases, 2)
        const [first, second] = [freshId(), freshId()]
        const [held] = yield* leases.take(first, parts.slice(0, 1))
        yield* leases.take(second, parts)
        yield* until(Effect.gen(function*() {
          assert.deepEqual(yield* leases.renew(first, [subscriber]), [held])
          const [mine, theirs] = yield* owners(leases, subscriber)
          assert.equal(mine, first)
          return theirs === undefined
        }))
      })
  },
  {
    name: "expiry: a lease that nobody took meanwhile is renewed in its epoch",
    check: (leases) =>
      Effect.gen(function*() {
        const { parts, subscriber } = yield* declared(leases, 1)
        const member = freshId()
        const [held] = yield* leases.take(member, parts)
        yield* until(Effect.map(owners(leases, subscriber), ([owner]) => owner === undefined))
        assert.ok(Duration.toMillis((yield* seen(leases, subscriber))[0]!.expiresIn) <= 0)
        assert.deepEqual(yield* leases.renew(member, [subscriber]), [held])
        assert.deepEqual(yield* owners(leases, subscriber), [member])
      })
  },
  {
    name: "expiry: a process that is not heard of is no member any more, until it is heard of again",
    check: (leases) =>
      Effect.gen(function*() {
        const { subscriber } = yield* declared(leases, 1)
        const [silent, alive] = [freshId(), freshId()]
        yield* leases.renew(silent, [subscriber])
        yield* until(Effect.gen(function*() {
          yield* leases.renew(alive, [subscriber])
          return !(yield* membersOf(leases, subscriber)).includes(silent)
        }))
        assert.deepEqual(yield* membersOf(leases, subscriber), [alive])
        yield* leases.renew(silent, [subscriber])
        assert.ok((yield* membersOf(leases, subscriber)).includes(silent))
      })
  }
]
