/**
 * The command itself, in a process of its own, as `pnpm bench` runs it. That a row is there means that its results were
 * checked and right; what its figures are is of no interest here.
 */
import { serverVariable } from "@composable-ts/testing/TestDatabase"
import { assert, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { onTestFinished } from "vitest"
import type { Growth } from "../src/Growth.ts"
import type { Report } from "../src/Report.ts"

const execute = promisify(execFile)

const folder = (): string => {
  const path = mkdtempSync(join(tmpdir(), "composable-ts-bench-"))
  onTestFinished(() => rmSync(path, { recursive: true }))
  return path
}

const bench = (...args: ReadonlyArray<string>) =>
  execute(process.execPath, [join(import.meta.dirname, "../src/main.ts"), ...args], {
    env: { ...process.env, DATABASE_URL: process.env[serverVariable] ?? "" }
  })

const measure = async (...ids: ReadonlyArray<string>): Promise<Report> => {
  const results = folder()
  const { stdout } = await bench("--smoke", "--only", ids.join(","), "--results", results)
  const report = JSON.parse(readFileSync(join(results, "latest.json"), "utf8")) as Report
  const markdown = readFileSync(join(results, "latest.md"), "utf8")
  assert.deepStrictEqual(report.rows.map(({ id }) => id), ids)
  assert.deepStrictEqual(report.refused, [])
  for (const { floor, id, ours, ratios, spread } of report.rows) {
    assert.isTrue(Number.isFinite(ours) && ours > 0, `${id}: ${ours}`)
    assert.isTrue(Number.isFinite(floor) && floor! > 0, `${id}: ${floor}`)
    assert.isAtMost(spread.ours.min, ours)
    assert.isAtLeast(spread.ours.max, ours)
    assert.isAbove(ratios.floor!.median, 0)
    assert.include(stdout, id)
    assert.include(markdown, `| ${id} |`)
  }
  return report
}

describe("pnpm bench", () => {
  it("measures rows in memory, without any server", { timeout: 30_000 }, async () => {
    const { machine, profile, rows, versions } = await measure(
      "reducer.step",
      "store.memory",
      "replay.memory",
      "store.dispatch"
    )
    assert.strictEqual(profile, "smoke")
    assert.isNull(machine.postgres)
    assert.isAbove(machine.cpus, 0)
    assert.strictEqual(versions["node"], process.versions.node)
    assert.notProperty(versions, "postgres")
    const peers = rows.find(({ id }) => id === "store.dispatch")!
    assert.deepStrictEqual(
      Object.keys(peers.peers),
      ["redux", "@reduxjs/toolkit", "@reduxjs/toolkit, listening", "xstate"]
    )
    assert.deepStrictEqual(peers.faults, {})
    for (const name of ["redux", "@reduxjs/toolkit", "xstate"]) assert.match(versions[name] ?? "", /^\d+\.\d+\.\d+$/)
  })

  it("measures rows on the server, and names its durability", { timeout: 60_000 }, async () => {
    const { machine, rows, versions } = await measure("append10.c32", "projection.batch")
    for (const { faults, peers } of rows) {
      assert.deepStrictEqual(Object.keys(peers), ["emmett", "emmett, tuned"])
      assert.deepStrictEqual(faults, {})
    }
    assert.match(versions["@event-driven-io/emmett-postgresql"] ?? "", /^\d+\.\d+\.\d+$/)
    assert.match(versions["postgres"] ?? "", /^\d+/)
    assert.strictEqual(machine.postgres?.["fsync"], "on")
  })

  it("measures growth with the log and with callers", { timeout: 60_000 }, async () => {
    const results = folder()
    const { stdout } = await bench("--growth", "--smoke", "--results", results)
    const markdown = readFileSync(join(results, "growth.md"), "utf8")
    assert.include(stdout, markdown)
    assert.notInclude(markdown, "NaN")
    assert.match(markdown, /^\| append1 of 4 processes × 8 \| ≥ 10,000 appends\/s \| [\d.,]+ \| (yes|no) \|$/m)
    const { studies } = JSON.parse(readFileSync(join(results, "growth.json"), "utf8")) as Growth
    assert.deepStrictEqual(
      Object.fromEntries(studies.map(({ name, rows }) => [name, rows.map(([first]) => first)])),
      {
        logs: [1_000, 2_000],
        streams: [1, 100, 200],
        callers: [1, 8, 32, 128, 1_000],
        processes: [1, 2, 3, 4],
        bodies: [307, 10_006],
        disk: [0, 1, 5, 20]
      }
    )
    for (const { columns, plots, rows } of studies) {
      for (const row of rows) {
        assert.strictEqual(row.length, columns.length)
        for (const figure of row) assert.isTrue(figure === null || Number.isFinite(figure))
      }
      for (const { file } of plots) {
        assert.include(markdown, `(${file})`)
        assert.match(readFileSync(join(results, file), "utf8"), /^<svg [^]*<\/svg>\n$/)
      }
    }
  })

  it("writes profiles of time and of memory, and names functions with their places", { timeout: 30_000 }, async () => {
    const results = folder()
    const { stdout } = await bench("--smoke", "--profile", "store.memory", "--results", results)
    for (const kind of ["cpuprofile", "heapprofile"]) {
      assert.isTrue(existsSync(join(results, `store.memory.${kind}`)), kind)
    }
    assert.match(stdout, /^ +\d+\.\d % +\d+ ms {2}\S+ {2}\S+:\d+$/m)
    assert.match(stdout, /^ +\d+\.\d % +\d+\.\d MiB {2}\S+ {2}\S+:\d+$/m)
  })

  it("ends with code 2 and the usage on a mistake", { timeout: 30_000 }, async () => {
    const error: unknown = await bench("--only", "nothing").catch((reason: unknown) => reason)
    assert.propertyVal(error, "code", 2)
    assert.match((error as { readonly stderr: string }).stderr, /no row "nothing"[\s\S]*Usage: pnpm bench/)
  })
})
