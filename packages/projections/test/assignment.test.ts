import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Duration, Effect, Schema } from "effect"
import { partKey, plan } from "../src/internal/assignment.ts"
import type { Lease, Member, Survey } from "../src/Lease.ts"

const grace = Duration.seconds(1)
const soon = Duration.seconds(3)

/** Everybody's leases and members, changed by what members decide. */
interface Situation {
  readonly leases: Array<Lease>
  readonly members: ReadonlyArray<Member>
}

/** Some subscribers with so many parts each, and who runs which. */
const situation = (
  parts: ReadonlyArray<number>,
  runs: Readonly<Record<string, ReadonlyArray<number>>>,
  ownerOf: (name: string, partition: number) => string | undefined = () => undefined
): Situation => ({
  leases: parts.flatMap((count, i) =>
    Array.from({ length: count }, (_, partition): Lease => {
      const owner = ownerOf(`s${i}`, partition)
      return { name: `s${i}`, version: 1, partition, epoch: 0n, owner, expiresIn: owner === undefined ? never : soon }
    })
  ),
  members: Object.entries(runs).flatMap(([member, subscribers]) =>
    subscribers.map((i) => ({ name: `s${i}`, version: 1, member }))
  )
})

/** Free, but only since now. */
const never = Duration.millis(0)

const own = (situation: Situation, key: string, owner: string | undefined, free = never) => {
  const at = situation.leases.findIndex((lease) => partKey(lease) === key)
  situation.leases[at] = { ...situation.leases[at]!, owner, expiresIn: owner === undefined ? free : soon }
}

/** How many leases each member owns. */
const loads = ({ leases, members }: Survey) =>
  Object.fromEntries(
    [...new Set(members.map(({ member }) => member))].map((member) =>
      [member, leases.filter(({ owner }) => owner === member).length] as const
    )
  )

/**
 * Lets the members decide, one after the other, until nobody does anything more; what nobody takes counts as free for long
 * when a round has passed. Fails when that does not end.
 */
const settle = (situation: Situation) => {
  const names = [...new Set(situation.members.map(({ member }) => member))]
  for (let round = 0; round < 200; round++) {
    let changes = 0
    for (const member of names) {
      const { giveBack, take } = plan(situation, member, grace)
      for (const part of take) own(situation, partKey(part), member)
      if (giveBack !== undefined) own(situation, partKey(giveBack), undefined)
      changes += take.length + (giveBack === undefined ? 0 : 1)
    }
    const free = situation.leases.filter(({ expiresIn, owner }) => owner === undefined && expiresIn === never)
    for (const lease of free) own(situation, partKey(lease), undefined, Duration.negate(soon))
    if (changes === 0 && free.length === 0) return loads(situation)
  }
  assert.fail("the members never come to rest")
}

describe("one subscriber", () => {
  it("is all of a lone member's", () => {
    assert.deepStrictEqual(settle(situation([8], { a: [0] })), { a: 8 })
  })

  it("is shared evenly, whoever came first", () => {
    for (const count of [1, 2, 3, 4, 5, 8]) {
      for (let parts = 0; parts <= 12; parts++) {
        const runs = Object.fromEntries(Array.from({ length: count }, (_, i) => [`m${i}`, [0]]))
        for (const start of [situation([parts], runs), situation([parts], runs, () => "m0")]) {
          const owned = Object.values(settle(start))
          assert.strictEqual(owned.reduce((a, b) => a + b, 0), parts)
          assert.isAtMost(Math.max(...owned) - Math.min(...owned), 1, `${parts} parts, ${count} members: ${owned}`)
        }
      }
    }
  })

  it("is not given back to nobody, and not moved for nothing", () => {
    assert.isUndefined(plan(situation([3], { a: [0], b: [0] }, (_, i) => i < 2 ? "a" : "b"), "a", grace).giveBack)
    assert.isUndefined(plan(situation([8], { a: [0] }, () => "a"), "a", grace).giveBack)
  })

  it("is given back by one member at a time, one part at a time", () => {
    const crowded = situation([9], { a: [0], b: [0], c: [0] }, (_, i) => i < 5 ? "a" : "b")
    assert.isDefined(plan(crowded, "a", grace).giveBack)
    assert.isUndefined(plan(crowded, "b", grace).giveBack)
    assert.isUndefined(plan(crowded, "c", grace).giveBack)
  })

  it("is left by who does not run it", () => {
    const foreign = situation([4, 4], { a: [0] })
    assert.deepStrictEqual(settle({ ...foreign, leases: foreign.leases.slice(0, 4) }), { a: 4 })
    assert.isTrue(plan(foreign, "a", grace).take.every(({ name }) => name === "s0"))
    assert.deepStrictEqual(plan(foreign, "b", grace).take, [])
  })
})

describe("a member without room", () => {
  it("takes what nobody has taken for a while, and no sooner", () => {
    // Both share s0, but b alone runs s1, and a has filled its share.
    const stuck = situation([2, 2], { a: [0], b: [0, 1] }, (name) => name === "s0" ? "b" : undefined)
    own(stuck, "s1 v1/0", "b")
    const left = (free: Duration.Duration) => {
      own(stuck, "s1 v1/1", undefined, free)
      return plan(stuck, "b", grace).take.length
    }
    assert.strictEqual(left(Duration.millis(-999)), 0)
    assert.strictEqual(left(Duration.millis(-1_000)), 1)
    assert.deepStrictEqual(settle(stuck), { a: 1, b: 3 })
  })
})

describe("looks again", () => {
  const lookIn = (survey: Survey, member: string) => {
    const { lookAgainIn } = plan(survey, member, grace)
    return lookAgainIn === undefined ? undefined : Duration.toMillis(lookAgainIn)
  }
  it("when the earliest of the others' leases expires", () => {
    const busy = situation([2], { a: [0], b: [0] }, () => "b")
    busy.leases[1] = { ...busy.leases[1]!, expiresIn: Duration.millis(70) }
    assert.strictEqual(lookIn(busy, "a"), 71)
    assert.isUndefined(lookIn(busy, "b"))
  })

  it("when a lease has been free for a while, not sooner and not for ever", () => {
    const free = situation([1], { a: [0], b: [0] })
    assert.strictEqual(lookIn(free, "a"), 1_001)
    own(free, "s0 v1/0", undefined, Duration.seconds(-5))
    assert.isUndefined(lookIn(free, "a"))
  })
})

describe("any members of any subscribers, whoever owns what", () => {
  const upTo = (maximum: number) => Schema.Int.check(Schema.isBetween({ minimum: 0, maximum }))
  const Case = Schema.Struct({
    parts: Schema.Array(upTo(5)).check(Schema.isMinLength(1), Schema.isMaxLength(4)),
    runs: Schema.Array(Schema.Array(upTo(3))).check(Schema.isMinLength(1), Schema.isMaxLength(5)),
    owners: Schema.Array(upTo(5)).check(Schema.isMinLength(1), Schema.isMaxLength(20))
  })

  it.effect("come to rest, with every part that somebody runs owned by one who runs it", () =>
    Effect.gen(function*() {
      const outcome = yield* Arbitrary.checkEffect(Arbitrary.schema(Case), ({ owners, parts, runs }) =>
        Effect.sync(() => {
          const known = runs.map((subscribers) => [
            ...new Set(subscribers.filter((i) =>
              i < parts.length
            ))
          ])
          let next = 0
          const start = situation(
            parts,
            Object.fromEntries(known.map((subscribers, i) => [`m${i}`, subscribers])),
            (name) => {
              const owner = owners[next++ % owners.length]!
              return known[owner]?.includes(Number(name.slice(1))) === true ? `m${owner}` : undefined
            }
          )
          settle(start)
          for (const lease of start.leases) {
            const runners = start.members.filter(({ name }) => name === lease.name).map(({ member }) => member)
            assert.strictEqual(lease.owner !== undefined, runners.length > 0)
            if (lease.owner !== undefined) assert.include(runners, lease.owner)
          }
          return true
        }), { runs: 300 })
      assert.strictEqual(outcome._tag, "Passed", JSON.stringify(outcome))
    }))
})
