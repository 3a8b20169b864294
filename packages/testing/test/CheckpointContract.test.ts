/**
 * A contract is worth what it catches: each fault below is checkpoints that do one thing wrong, and the cases that must
 * notice it. That sound checkpoints pass is told by the package that has them.
 */
import * as Checkpoint from "@composable-ts/projections/Checkpoint"
import * as CheckpointContract from "@composable-ts/testing/CheckpointContract"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit } from "effect"
import { checkpoints } from "../../projections/test/Tables.ts"

type Fault = (checkpoints: Checkpoint.Service) => Partial<Checkpoint.Service>

const faults: ReadonlyArray<readonly [fault: string, noticedBy: RegExp, Fault]> = [
  [
    "move without a fence",
    /that a later one has replaced/,
    ({ advance, claim }) => {
      const latest = new Map<string, bigint>()
      return {
        claim: (held) => Effect.tap(claim(held), () => Effect.sync(() => latest.set(held.name, held.epoch))),
        advance: (held, from, to) => advance({ ...held, epoch: latest.get(held.name) ?? held.epoch }, from, to)
      }
    }
  ],
  [
    "move from anywhere",
    /from anywhere but where the checkpoint is/,
    (service) => ({
      advance: (held, _from, to) =>
        Effect.flatMap(
          service.read(held),
          (all) =>
            service.advance(held, all.find(({ partition }) => partition === held.partition) ?? Checkpoint.beginning, to)
        )
    })
  ],
  [
    "say that they moved",
    /does nothing from anywhere|exactly one moves it|does nothing without a checkpoint/,
    ({ advance }) => ({ advance: (held, from, to) => Effect.as(advance(held, from, to), true) })
  ],
  [
    "let anybody claim",
    /fails when a later owner has claimed/,
    ({ claim, read }) => ({
      claim: (held) =>
        Effect.catchTag(
          claim(held),
          "LeaseLost",
          () => Effect.map(read(held), (all) => all[held.partition] ?? Checkpoint.beginning)
        )
    })
  ],
  [
    "begin again and again",
    /a second time does nothing|exactly one begins/,
    ({ begin }) => ({ begin: (subscriber, partitions, from) => Effect.as(begin(subscriber, partitions, from), true) })
  ],
  [
    "forget the event",
    /with the event there/,
    ({ advance }) => ({
      advance: (held, from, { position }) => advance(held, from, { position, eventId: undefined })
    })
  ],
  [
    "move all partitions",
    /of one partition/,
    (service) => ({
      advance: (held, from, to) =>
        Effect.gen(function*() {
          const other = { ...held, partition: 1 - held.partition }
          yield* Effect.ignore(service.claim(other))
          yield* service.advance(other, from, to)
          return yield* service.advance(held, from, to)
        })
    })
  ],
  [
    "read positions as numbers",
    /to positions of any size/,
    ({ read }) => ({
      read: (subscriber) =>
        Effect.map(
          read(subscriber),
          (all) =>
            all.map(({ eventId, partition, position }) => ({ eventId, partition, position: BigInt(Number(position)) }))
        )
    })
  ],
  [
    "mix up versions",
    /names and versions are different/,
    ({ read }) => ({ read: ({ name }) => read({ name, version: 1 }) })
  ],
  [
    "make what is missing at the claim",
    /there is no such checkpoint/,
    (service) => ({
      claim: (held) =>
        Effect.catchTag(service.claim(held), "CheckpointMissing", () => Effect.succeed(Checkpoint.beginning))
    })
  ]
]

/** The names of the cases that checkpoints with this fault fail. */
const failedBy = (fault: Fault) =>
  Effect.gen(function*() {
    const sound = yield* Checkpoint.Checkpoints
    const service: Checkpoint.Service = { ...sound, ...fault(sound) }
    const failed: Array<string> = []
    for (const { check, name } of CheckpointContract.cases) {
      const exit = yield* Effect.exit(Effect.timeout(Effect.scoped(check(service)), "5 seconds"))
      if (Exit.isFailure(exit)) failed.push(name)
    }
    return failed
  }).pipe(Effect.provide(checkpoints))

describe("CheckpointContract", () => {
  it("has cases of different names", () => {
    const names = CheckpointContract.cases.map(({ name }) => name)
    assert.strictEqual(new Set(names).size, names.length)
  })

  for (const [name, noticedBy, fault] of faults) {
    it.live(`catches checkpoints that ${name}`, () =>
      Effect.map(failedBy(fault), (failed) => {
        assert.isTrue(failed.some((name) => noticedBy.test(name)), `failed: ${failed.join("; ") || "nothing"}`)
        assert.isBelow(failed.length, CheckpointContract.cases.length, "a fault should not fail everything")
      }))
  }
})
