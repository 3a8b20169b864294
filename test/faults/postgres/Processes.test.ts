/**
 * Many processes on one log, none of which knows of the others.
 */
import * as EmbeddedPostgres from "@composable-ts/testing/EmbeddedPostgres"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { rmSync } from "node:fs"
import * as Sabotage from "../../../packages/postgres/test/Sabotage.ts"
import * as Checker from "./Checker.ts"
import * as Nemesis from "./Nemesis.ts"

const operations = Number(process.env.FAULT_OPERATIONS ?? 20)
const seed = Number(process.env.FAULT_SEED ?? Date.now() % 1_000_000)

describe(`many processes (FAULT_SEED=${seed})`, () => {
  it.live(
    "T01, T05: 8 processes of 8 writers on 4 hot streams, and subscribers that run through it",
    () =>
      Effect.gen(function*() {
        const server = yield* EmbeddedPostgres.start({ settings: { deadlock_timeout: "200ms" } })
        const { evidence, left, records } = yield* Nemesis.run(server, {
          seed,
          processes: 8,
          writers: 4,
          operations,
          streams: 4,
          faults: [],
          strikes: 0
        })
        assert.deepStrictEqual(Checker.violations(evidence).slice(0, 10), [], `records in ${records}`)
        const count = (tag: string) => evidence.operations.filter(({ outcome }) => outcome._tag === tag).length
        assert.isAbove(count("Stored"), 64)
        assert.isAbove(count("Conflict"), 64)
        const writers = new Set(evidence.operations.map(({ client }) => client))
        assert.strictEqual(writers.size, 64)
        assert.deepStrictEqual(left, [])
        rmSync(records, { recursive: true })
      }),
    120_000 + 500 * operations
  )

  it.live(
    "control: without the look-up of command ids, the checker finds commands that are there twice, or refused and there",
    () =>
      Effect.gen(function*() {
        const server = yield* EmbeddedPostgres.start()
        const { evidence, records } = yield* Nemesis.run(server, {
          seed,
          processes: 1,
          writers: 4,
          operations: 15,
          streams: 4,
          faults: ["replyLost", "requestUnanswered"],
          strikes: 10,
          sabotage: Sabotage.forgetCommands
        })
        const violations = Checker.violations(evidence)
        const doubted = /^I1: .*is there again|^I2: .*was refused and is there/
        assert.isTrue(violations.some((violation) => doubted.test(violation)), violations.join("\n"))
        rmSync(records, { recursive: true })
      }),
    120_000
  )
})
