/**
 * Randomised runs under faults of all kinds, each judged by a checker that knows nothing of the store.
 *
 * `FAULT_SEED` is the first seed (default: 1, 2, 3, and one that nobody has tried), `FAULT_SEEDS` how many; so
 * `FAULT_SEED=7 FAULT_SEEDS=1` repeats one, and `FAULT_SEEDS=200` is a night's work. `FAULT_OPERATIONS` says how much
 * each writer does in a run; with many it is a soak.
 */
import * as EmbeddedPostgres from "@composable-ts/testing/EmbeddedPostgres"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { rmSync } from "node:fs"
import * as Checker from "./Checker.ts"
import * as Nemesis from "./Nemesis.ts"

const operations = Number(process.env.FAULT_OPERATIONS ?? 25)
const first = Number(process.env.FAULT_SEED ?? 1)
const seeds = process.env.FAULT_SEEDS === undefined
  ? [first, first + 1, Date.now() % 1_000_000_000]
  : Array.from({ length: Number(process.env.FAULT_SEEDS) }, (_, i) => first + i)

class Server extends Context.Service<Server, EmbeddedPostgres.EmbeddedPostgres>()("test/faults/Server") {}

const ServerLive = Layer.effect(Server, EmbeddedPostgres.start({ settings: { deadlock_timeout: "200ms" } }))

layer(ServerLive, { excludeTestServices: true, timeout: "60 seconds" })("a store under fire", (it) => {
  for (const seed of seeds) {
    it.effect(`T11, T12, T20, T21, T24, T66, T67: FAULT_SEED=${seed}`, () =>
      Effect.gen(function*() {
        const { evidence, happened, left, records } = yield* Nemesis.run(yield* Server, {
          seed,
          processes: 2,
          writers: 4,
          operations,
          streams: 4 + seed % 20,
          faults: Nemesis.faults,
          strikes: operations
        })
        const outcomes: Record<string, number> = {}
        for (const { outcome: { _tag } } of evidence.operations) outcomes[_tag] = (outcomes[_tag] ?? 0) + 1
        const summary = JSON.stringify({ seed, events: evidence.rows.length, ...outcomes, happened })
        if (process.env.FAULT_SEEDS !== undefined) process.stdout.write(`${summary}\n`)
        assert.deepStrictEqual(Checker.violations(evidence).slice(0, 10), [], `${summary}\nrecords in ${records}`)
        for (const { outcome } of evidence.operations) {
          if (outcome._tag === "Unknown") assert.isTrue(outcome.retryable, outcome.why)
        }
        assert.deepStrictEqual(left, [], "the server has forgotten its clients")
        assert.isAbove(outcomes.Stored ?? 0, 0)
        rmSync(records, { recursive: true })
      }), 120_000 + 500 * operations)
  }
})
