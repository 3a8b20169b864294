/**
 * The chaos script of order processing, as its users run it, for a few seconds; `CHAOS_SECONDS` for longer, `CHAOS_SEED`
 * for other orders and fates.
 */
import { assert, describe, it } from "@effect/vitest"
import { tmpdir } from "node:os"
import { chaos } from "./order-processing/Program.ts"

const seconds = Number(process.env["CHAOS_SECONDS"] ?? 6)
const seed = Number(process.env["CHAOS_SEED"] ?? 1)

describe("workers that are killed, stopped and suspended while orders pour in", () => {
  it("leave read models that are a fold of the log", async () => {
    const { code, stderr, stdout } = await chaos(tmpdir(), "--seconds", `${seconds}`, "--seed", `${seed}`)
    assert.strictEqual(code, 0, stdout + stderr)
    const [, rows, events] = /^Exact: (\d+) rows are a fold of (\d+) events/m.exec(stdout) ?? []
    assert.isAbove(Number(rows), 50, stdout)
    assert.isAbove(Number(events), 100, stdout)
    const [, ...fates] = /killed (\d+) times, stopped (\d+) times and suspended (\d+) times/.exec(stdout) ?? []
    assert.isAbove(fates.reduce((sum, count) => sum + Number(count), 0), 0, stdout)
  }, (seconds + 120) * 1_000)
})
