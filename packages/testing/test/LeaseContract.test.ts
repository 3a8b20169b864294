/**
 * A contract is worth what it catches: each fault below is leases that do one thing wrong, and the cases that must notice
 * it. That sound leases pass is told by the package that has them.
 */
import * as Lease from "@composable-ts/projections/Lease"
import * as LeaseContract from "@composable-ts/testing/LeaseContract"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit } from "effect"
import { leases } from "../../projections/test/Tables.ts"

type Fault = (leases: Lease.Service) => Partial<Lease.Service>

const faults: ReadonlyArray<readonly [fault: string, noticedBy: RegExp, Fault]> = [
  [
    "gives a lease to whoever asks",
    /gives what is free.*nothing that is not|exactly one gets each part/,
    ({ take }) => ({
      take: (member, parts) =>
        Effect.map(
          take(member, parts),
          (held) => held.length > 0 ? held : parts.map((part) => ({ ...part, epoch: 1n }))
        )
    })
  ],
  [
    "does not count the take-overs",
    /the next epoch is a new one/,
    ({ take }) => ({
      take: (member, parts) =>
        Effect.map(
          take(member, parts),
          (held) => held.map(({ name, partition, version }) => ({ name, version, partition, epoch: 1n }))
        )
    })
  ],
  [
    "frees leases that were taken anew",
    /is another's, or was taken anew/,
    (service) => ({
      release: (member, held) =>
        Effect.flatMap(service.survey, (survey) =>
          Effect.forEach(
            survey.leases.filter(({ name, owner, partition }) =>
              owner === member && name === held.name && partition === held.partition
            ),
            (lease) => service.release(member, lease),
            { discard: true }
          ))
    })
  ],
  ["keeps what is given back", /makes a lease free at once/, () => ({ release: () => Effect.void })],
  [
    "keeps what a process had that has left",
    /ends the membership of one subscriber/,
    () => ({ leave: () => Effect.void })
  ],
  [
    "takes heartbeats of nothing",
    /a lease that is renewed stays|that nobody took meanwhile/,
    () => ({ renew: () => Effect.succeed([]) })
  ],
  [
    "gives an expired lease back to its owner in the same epoch, though another has taken it",
    /its owner cannot harm the next/,
    ({ renew, take }) => {
      const first = new Map<string, Lease.Held>()
      return {
        take: (member, parts) =>
          Effect.tap(
            take(member, parts),
            (held) => Effect.sync(() => held.forEach((each) => first.set(member, first.get(member) ?? each)))
          ),
        renew: (member, subscribers) =>
          Effect.map(renew(member, subscribers), (held) => {
            const own = first.get(member)
            return held.length === 0 && own !== undefined ? [own] : held
          })
      }
    }
  ],
  [
    "never lets a lease expire",
    /becomes free/,
    ({ survey, take }) => {
      const taken = new Set<string>()
      return {
        survey,
        take: (member, parts) =>
          Effect.tap(
            take(member, parts.filter(({ name, partition }) => !taken.has(`${name} ${partition}`))),
            (held) => Effect.sync(() => held.forEach(({ name, partition }) => taken.add(`${name} ${partition}`)))
          )
      }
    }
  ],
  [
    "counts members for ever",
    /is no member any more/,
    ({ survey }) => {
      const known = new Map<string, Lease.Member>()
      return {
        survey: Effect.map(survey, ({ leases, members }) => {
          for (const each of members) known.set(`${each.name} ${each.version} ${each.member}`, each)
          return { leases, members: [...known.values()] }
        })
      }
    }
  ],
  [
    "mixes up versions",
    /names and versions are different subscribers/,
    ({ survey }) => ({
      survey: Effect.map(survey, ({ leases, members }) => ({
        members,
        leases: leases.map((lease) =>
          Object.assign({}, lease, {
            owner: leases.find(({ name, owner }) => name === lease.name && owner !== undefined)?.owner
          })
        )
      }))
    })
  ]
]

/** The names of the cases that leases with this fault fail, of those that match. */
const failedBy = (fault: Fault, noticedBy: RegExp) =>
  Effect.gen(function*() {
    const sound = yield* Lease.Leases
    const service: Lease.Service = { ...sound, ...fault(sound) }
    const failed: Array<string> = []
    for (const { check, name } of LeaseContract.cases.filter(({ name }) => noticedBy.test(name))) {
      const exit = yield* Effect.exit(Effect.timeout(Effect.scoped(check(service)), "3 seconds"))
      if (Exit.isFailure(exit)) failed.push(name)
    }
    return failed
  }).pipe(Effect.provide(leases("150 millis")))

describe("LeaseContract", () => {
  it("has cases of different names", () => {
    const names = LeaseContract.cases.map(({ name }) => name)
    assert.strictEqual(new Set(names).size, names.length)
  })

  for (const [name, noticedBy, fault] of faults) {
    it.live(`catches an implementation that ${name}`, () =>
      Effect.map(failedBy(fault, noticedBy), (failed) => assert.isAbove(failed.length, 0, "nobody noticed")))
  }
})
