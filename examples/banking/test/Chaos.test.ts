/**
 * The chaos script of the bank, as its users run it, for a few seconds. `CHAOS_TRANSFERS=10000` for its full size,
 * `CHAOS_SEED` for other transfers and fates.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Script from "chaos/Script"

const count = Number(process.env["CHAOS_TRANSFERS"] ?? 100)
const seed = process.env["CHAOS_SEED"] ?? "1"

describe("transfers, while workers are killed", () => {
  it("are finished in the end, and the books balance", async () => {
    const script = new URL("../src/chaos.ts", import.meta.url)
    const { code, stderr, stdout } = await Script.run(script, "--count", `${count}`, "--seed", seed)
    assert.strictEqual(code, 0, stdout + stderr)
    assert.include(stdout, `Exact: ${count} transfers are finished`)
    assert.match(stdout, /[1-9]\d* kills/)
  }, 120_000 + count * 100)
})
