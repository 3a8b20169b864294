/**
 * The chaos script of the checkout, as its users run it, for a few seconds. `CHAOS_CHECKOUTS=2000` for its full size,
 * `CHAOS_SEED` for other checkouts and fates.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Script from "chaos/Script"

const count = Number(process.env["CHAOS_CHECKOUTS"] ?? 40)
const seed = process.env["CHAOS_SEED"] ?? "1"

const script = new URL("../src/chaos.ts", import.meta.url)

describe("checkouts, while workers are killed and the provider fails", () => {
  it.concurrent("are finished in the end, and money and goods add up", async () => {
    const { code, stderr, stdout } = await Script.run(script, "--count", `${count}`, "--seed", seed)
    assert.strictEqual(code, 0, stdout + stderr)
    assert.include(stdout, `Exact: ${count} checkouts are finished`)
    assert.match(stdout, /[1-9]\d* kills/)
    assert.match(stdout, /[1-9]\d* of them again/)
  }, 120_000 + count * 500)

  it.concurrent("are found out when the provider does not honour keys", async () => {
    const { code, stderr, stdout } = await Script.run(
      script,
      "--count=12",
      "--seed=1",
      "--failures=0.4",
      "--keys=ignored"
    )
    assert.strictEqual(code, 1, stdout + stderr)
    assert.match(stdout + stderr, /was done \d times/)
  }, 120_000)
})
