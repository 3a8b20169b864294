import { InvalidSnapshot, maxStateVersion, type Snapshot } from "@composable-ts/core/Snapshot"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import assert from "node:assert/strict"
import { countFrom, freshStream } from "../eventStoreContract/fixture.ts"
import { holdsForAll } from "../property.ts"
import { type Case, shuffled, snapshotAt } from "./fixture.ts"

const upTo = (maximum: number) => Schema.Int.check(Schema.isBetween({ minimum: 0, maximum }))

const Step = Schema.Union([
  Schema.TaggedStruct("Save", { stream: upTo(1), stateVersion: upTo(2), version: upTo(9) }),
  Schema.TaggedStruct("Load", { stream: upTo(1), stateVersion: upTo(2), atMost: upTo(9) }),
  Schema.TaggedStruct("Remove", { stream: upTo(1) })
])

const steps = Arbitrary.array(Arbitrary.schema(Step), { minLength: 12, maxLength: 40 })

const refused = (issue: RegExp, change: Partial<Snapshot>): Case => ({
  name: `save: refuses ${
    Object.entries(change).map(([name, value]) => `${name} ${typeof value === "bigint" ? `${value}n` : value}`).join()
  }, and keeps what was there`,
  check: (store) =>
    Effect.gen(function*() {
      const streamId = freshStream()
      const before = snapshotAt(streamId, 3)
      yield* store.save(before)
      const error = yield* Effect.flip(store.save({ ...snapshotAt(streamId, 7), ...change }))
      assert.ok(error instanceof InvalidSnapshot, String(error))
      assert.equal(error.streamId, streamId)
      assert.match(error.issue, issue)
      assert.deepEqual(yield* store.load(streamId, { stateVersion: 1 }), Option.some(before))
    })
})

export const saveCases: ReadonlyArray<Case> = [
  {
    name: "save: any sequence of saves, loads and removals behaves like the latest of each state version",
    check: (store) =>
      holdsForAll(steps, (sequence) =>
        Effect.gen(function*() {
          const streams = [freshStream(), freshStream()] as const
          const model = new Map<string, number>()
          for (const step of sequence) {
            const streamId = streams[step.stream]!
            if (step._tag === "Remove") {
              yield* store.remove(streamId)
              for (const stateVersion of [1, 2, 3]) model.delete(`${streamId}/${stateVersion}`)
              continue
            }
            const stateVersion = step.stateVersion + 1
            const known = model.get(`${streamId}/${stateVersion}`) ?? -1
            if (step._tag === "Save") {
              const result = yield* store.save(snapshotAt(streamId, step.version, stateVersion))
              assert.deepEqual(result, { saved: step.version > known })
              model.set(`${streamId}/${stateVersion}`, Math.max(known, step.version))
            } else {
              const { atMost } = step
              assert.deepEqual(
                yield* store.load(streamId, { stateVersion, atMost }),
                known >= 0 && known <= atMost
                  ? Option.some(snapshotAt(streamId, known, stateVersion))
                  : Option.none()
              )
            }
          }
        }), 50)
  },
  {
    name: "save: of 64 versions at once the latest stays, whatever their order",
    check: (store) =>
      Effect.gen(function*() {
        for (const order of [countFrom(0, 64), countFrom(0, 64).toReversed(), shuffled(countFrom(0, 64))]) {
          const streamId = freshStream()
          const results = yield* Effect.forEach(
            order,
            (version) => Effect.map(store.save(snapshotAt(streamId, version)), ({ saved }) => ({ version, saved })),
            { concurrency: "unbounded" }
          )
          assert.equal(results.find(({ version }) => version === 63)?.saved, true, "the latest version was not saved")
          assert.deepEqual(yield* store.load(streamId, { stateVersion: 1 }), Option.some(snapshotAt(streamId, 63)))
        }
      })
  },
  {
    name: "save: of 64 at once at the same version exactly one is saved, and says so",
    check: (store) =>
      Effect.gen(function*() {
        const streamId = freshStream()
        const results = yield* Effect.forEach(
          countFrom(0, 64),
          (writer) =>
            Effect.map(store.save(snapshotAt(streamId, 5, 1, { writer })), ({ saved }) => ({ writer, saved })),
          { concurrency: "unbounded" }
        )
        const winners = results.filter(({ saved }) => saved)
        assert.equal(winners.length, 1)
        const stored = yield* store.load(streamId, { stateVersion: 1 })
        assert.deepEqual(Option.getOrThrow(stored).state, { writer: winners[0]!.writer })
      })
  },
  {
    name: "save: no reader sees the version go back, or a mixture of two, while many save",
    check: (store) =>
      Effect.gen(function*() {
        const streamId = freshStream()
        const writers = yield* Effect.forkScoped(Effect.forEach(
          shuffled(countFrom(0, 300)),
          (version) => Effect.andThen(store.save(snapshotAt(streamId, version)), Effect.yieldNow),
          { concurrency: 16, discard: true }
        ))
        let seen = -1
        let finished = false
        while (!finished) {
          yield* Effect.yieldNow
          finished = writers.pollUnsafe() !== undefined
          const stored = yield* store.load(streamId, { stateVersion: 1 })
          if (Option.isNone(stored)) continue
          const { version } = stored.value
          assert.ok(version >= seen, `the version went back from ${seen} to ${version}`)
          assert.deepEqual(stored.value, snapshotAt(streamId, version))
          seen = version
        }
        yield* Fiber.join(writers)
        assert.equal(seen, 299)
      })
  },
  {
    name: "save: many streams and state versions at once do not disturb each other",
    check: (store) =>
      Effect.gen(function*() {
        const all = countFrom(0, 20).flatMap((i) => {
          const streamId = freshStream()
          return [1, 2, 3].map((stateVersion) => snapshotAt(streamId, i + stateVersion, stateVersion))
        })
        yield* Effect.forEach(all, store.save, { concurrency: "unbounded" })
        for (const snapshot of all) {
          const { stateVersion, streamId } = snapshot
          assert.deepEqual(yield* store.load(streamId, { stateVersion }), Option.some(snapshot))
        }
      })
  },
  {
    name: "save: the first version, the largest state version and far positions are kept",
    check: (store) =>
      Effect.gen(function*() {
        for (
          const [version, stateVersion, globalPosition] of [
            [0, 1, 1n],
            [0, maxStateVersion, 2n ** 53n + 1n],
            [2 ** 31 - 1, 1, 2n ** 63n - 1n]
          ] as const
        ) {
          const snapshot = { ...snapshotAt(freshStream(), version, stateVersion), globalPosition }
          assert.deepEqual(yield* store.save(snapshot), { saved: true })
          assert.deepEqual(yield* store.load(snapshot.streamId, { stateVersion }), Option.some(snapshot))
        }
      })
  },
  refused(/version -1 is not/, { version: -1 }),
  refused(/version 1.5 is not/, { version: 1.5 }),
  refused(/version NaN is not/, { version: NaN }),
  refused(/global position 0 is not/, { globalPosition: 0n }),
  refused(/state's version is 0/, { stateVersion: 0 }),
  refused(/state's version is 1.5/, { stateVersion: 1.5 }),
  refused(/state's version is 2147483648/, { stateVersion: maxStateVersion + 1 })
]
