/**
 * A vitest reporter whose only output is one line, printed after everything else, also after the global teardown:
 * `12 passed, 0 failed, 1 skipped`. `.ci/run` and people who look only at the end of a log rely on it.
 *
 * A file that cannot be loaded, a hook that throws and an unhandled rejection belong to no test, yet they fail the
 * run; each counts as one failure, so a red run never says `0 failed`.
 */
import type { Reporter, TestModule } from "vitest/node"

/** What a run amounts to. */
interface Tally {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

/** Counts the tests of a finished run. `unhandled` is the number of errors that belong to no module. */
const count = (modules: ReadonlyArray<Pick<TestModule, "children" | "errors">>, unhandled: number): Tally => {
  let passed = 0
  let failed = unhandled
  let skipped = 0
  for (const module of modules) {
    failed += module.errors().length
    for (const suite of module.children.allSuites()) failed += suite.errors().length
    for (const test of module.children.allTests()) {
      const { state } = test.result()
      if (state === "passed") passed += 1
      else if (state === "failed") failed += 1
      else skipped += 1
    }
  }
  return { passed, failed, skipped }
}

/** The closing line itself, without a line end. */
const render = ({ failed, passed, skipped }: Tally): string =>
  `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`

/** The reporter, named in `vitest.config.ts`. */
export default class ClosingLine implements Reporter {
  #tally: Tally = { passed: 0, failed: 0, skipped: 0 }

  onInit(): void {
    process.once("exit", () => process.stdout.write(`${render(this.#tally)}\n`))
  }

  onTestRunEnd(modules: ReadonlyArray<TestModule>, unhandled: ReadonlyArray<unknown>): void {
    this.#tally = count(modules, unhandled.length)
  }
}
