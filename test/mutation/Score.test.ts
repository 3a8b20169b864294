import { assert, describe, it } from "@effect/vitest"
import type { Equivalent } from "./Equivalent.ts"
import { percentage, read, type StrykerReport, sum } from "./Score.ts"

const at = (line: number, from: number, to: number) => ({
  start: { line, column: from },
  end: { line, column: to }
})
const source = "const a = b === c\nif (a) {\n  stop()\n}\n"
const mutant = (status: string, location = at(1, 11, 18), replacement = "true") => ({
  mutatorName: "ConditionalExpression",
  replacement,
  status,
  location
})
const report = (...mutants: StrykerReport["files"][string]["mutants"]): StrykerReport => ({
  files: { "a.ts": { source, mutants } }
})
const equivalent: Equivalent = { file: "a.ts", original: "b === c", replacement: "true", reason: "b is c" }

describe("the score of a mutation run", () => {
  it("counts what was noticed, what was not, and leaves out what was no mutant", () => {
    const { scores } = read(
      report(...["Killed", "Timeout", "Killed", "Survived", "NoCoverage", "RuntimeError"].map((s) => mutant(s))),
      []
    )
    const score = scores.get("a.ts")!
    assert.deepStrictEqual(score, { killed: 3, survived: 2, invalid: 1 })
    assert.strictEqual(percentage(score), 60)
    assert.deepStrictEqual(sum([score, score]), { killed: 6, survived: 4, invalid: 2 })
    assert.strictEqual(percentage({ killed: 0, survived: 0, invalid: 3 }), 100)
  })

  it("names survivors by what they replace", () => {
    const block = { start: { line: 2, column: 8 }, end: { line: 4, column: 2 } }
    const { survivors } = read(report(mutant("Survived"), mutant("Survived", block, "{}")), [])
    assert.deepStrictEqual(survivors.map(({ line, original, replacement }) => [line, original, replacement]), [
      [1, "b === c", "true"],
      [2, "{ stop() }", "{}"]
    ])
  })

  it("gives those that are known to be equivalent their reason, and finds those that are not any more", () => {
    const known = read(report(mutant("Survived"), mutant("Survived", undefined, "false")), [equivalent])
    assert.deepStrictEqual(known.survivors.map(({ reason }) => reason), ["b is c", undefined])
    assert.deepStrictEqual(known.stale, [])
    assert.deepStrictEqual(read(report(mutant("Killed")), [equivalent]).stale, [equivalent])
    assert.deepStrictEqual(read(report(mutant("Survived")), [{ ...equivalent, file: "b.ts" }]).stale.length, 1)
  })
})
