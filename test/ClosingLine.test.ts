import { assert, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"

const root = join(import.meta.dirname, "..")
const vitest = join(dirname(createRequire(import.meta.url).resolve("vitest/package.json")), "vitest.mjs")

/** A folder inside the repository, so that `vitest` resolves, which git, the linter and the formatter ignore. */
const withFolder = <A>(use: (folder: string) => A): A => {
  mkdirSync(join(root, ".tsbuild"), { recursive: true })
  const folder = mkdtempSync(join(root, ".tsbuild", "closing-line-"))
  try {
    return use(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const lastLine = (text: string): string => text.trimEnd().split("\n").at(-1) ?? ""

const runVitest = (tests: Record<string, string>) =>
  withFolder((folder) => {
    writeFileSync(
      join(folder, "vitest.config.ts"),
      `export default { test: { include: ["*.test.ts"], globalSetup: "./setup.ts", reporters: ["default", ${
        JSON.stringify(join(root, "test", "ClosingLine.ts"))
      }] } }`
    )
    writeFileSync(join(folder, "setup.ts"), `export default () => () => console.log("torn down")`)
    for (const [name, code] of Object.entries(tests)) {
      writeFileSync(join(folder, name), `import { beforeAll, describe, expect, it } from "vitest"\n${code}`)
    }
    const { status, stdout } = spawnSync(process.execPath, [vitest, "run"], { cwd: folder, encoding: "utf8" })
    return { status, stdout }
  })

it("a green run ends with the tally, after the global teardown's output", { timeout: 60_000 }, () => {
  const run = runVitest({
    "a.test.ts": `it("one", () => {}); it("two", () => {}); it.skip("three", () => {})`,
    "b.test.ts": `it("four", () => {})`
  })
  assert.include(run.stdout, "torn down")
  assert.strictEqual(lastLine(run.stdout), "3 passed, 0 failed, 1 skipped")
  assert.strictEqual(run.status, 0)
})

it("failures outside any test are counted", { timeout: 60_000 }, () => {
  const run = runVitest({
    "fails.test.ts": `it("one", () => { expect(1).toBe(2) }); it("two", () => {})`,
    "hook.test.ts": `describe("suite", () => { beforeAll(() => { throw new Error("hook") }); it("never", () => {}) })`,
    "load.test.ts": `import "./missing.ts"`,
    "reject.test.ts": `it("leaks", () => { void Promise.reject(new Error("unhandled")) })`
  })
  assert.strictEqual(lastLine(run.stdout), "2 passed, 4 failed, 1 skipped")
  assert.notStrictEqual(run.status, 0)
})

it.skipIf(!existsSync("/bin/bash")).each([
  { name: "green", output: ["12 passed, 0 failed"], exit: 0, line: "12 passed, 0 failed", ok: true },
  {
    name: "skips",
    output: ["12 passed, 0 failed, 2 skipped"],
    exit: 0,
    line: "12 passed, 0 failed, 2 skipped",
    ok: true
  },
  {
    name: "words after the tally",
    output: ["1 passed, 2 failed", "ELIFECYCLE"],
    exit: 1,
    line: "1 passed, 2 failed",
    ok: false
  },
  { name: "no test ran", output: ["nothing to do"], exit: 0, line: "0 passed, 0 failed", ok: false },
  {
    name: "only skips",
    output: ["0 passed, 0 failed, 3 skipped"],
    exit: 0,
    line: "0 passed, 0 failed, 3 skipped",
    ok: false
  },
  { name: "a check fails first", output: ["error TS2322"], exit: 2, line: "0 passed, 0 failed", ok: false },
  {
    name: "red, yet the tally is green",
    output: ["3 passed, 0 failed"],
    exit: 1,
    line: "3 passed, 0 failed",
    ok: false
  }
])(".ci/run: $name", ({ exit, line, ok, output }) => {
  withFolder((folder) => {
    mkdirSync(join(folder, ".ci"))
    cpSync(join(root, ".ci", "run"), join(folder, ".ci", "run"))
    const npx = join(folder, "npx")
    writeFileSync(
      npx,
      `#!/bin/sh\necho "$* CI=$CI in $PWD"\n${output.map((text) => `echo '${text}'`).join("\n")}\nexit ${exit}\n`
    )
    chmodSync(npx, 0o755)
    const run = spawnSync(join(folder, ".ci", "run"), { cwd: "/", encoding: "utf8", env: { PATH: folder } })
    assert.include(run.stdout, `-y pnpm@12.21.0 test CI=true in ${folder}`)
    assert.strictEqual(lastLine(run.stdout), line)
    assert.strictEqual(run.status === 0, ok)
  })
})
