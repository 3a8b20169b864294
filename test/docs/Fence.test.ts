import { assert, it } from "@effect/vitest"
import { fromMarkdown, fromSource, renderProblem } from "./Fence.ts"

const markdown = (...lines: ReadonlyArray<string>) => fromMarkdown("guide.md", lines.join("\n"))

it("reads language, tags, position and code of fences", () => {
  const { fences, problems } = markdown(
    "# Title",
    "",
    "```ts no-run",
    "const a = 1",
    "```",
    "",
    "- item",
    "  ~~~sh",
    "  ls",
    "  ~~~"
  )
  assert.deepStrictEqual(problems, [])
  assert.deepStrictEqual(fences, [
    { document: "guide.md", line: 3, language: "ts", tags: new Set(["no-run"]), lines: ["const a = 1"] },
    { document: "guide.md", line: 8, language: "sh", tags: new Set<string>(), lines: ["  ls"] }
  ])
})

it("a longer fence may hold a shorter one, and inline code in backticks opens none", () => {
  const { fences, problems } = markdown("````text", "```ts", "```", "````", "``` not a fence ```")
  assert.deepStrictEqual(problems, [])
  assert.deepStrictEqual(fences.map(({ language, lines }) => ({ language, lines })), [
    { language: "text", lines: ["```ts", "```"] }
  ])
})

it("names document and line of fences that would escape the checks", () => {
  const { problems } = markdown(
    "```",
    "x",
    "```",
    "```typescript",
    "```",
    "```ts norun",
    "```",
    "",
    "```ts",
    "const a = 1"
  )
  assert.deepStrictEqual(problems.map(renderProblem), [
    "guide.md:1: a code fence without a language; say `ts`, `sh`, `json`, `sql` or `text`",
    "guide.md:4: a fence in `typescript` is neither type-checked nor run; make it `ts`",
    "guide.md:6: unknown tag `norun` on a ts fence; there are `continue` and `no-run`",
    "guide.md:9: this code fence is never closed"
  ])
})

it("reads doc comments, and blanks what is not code without moving it", () => {
  const source = [
    "const before = 1",
    "  /**",
    "   * Adds.",
    "   *",
    "   * @example",
    "   * ```ts",
    "   * const a = 1",
    "   * ```",
    "   */",
    "/** one line */",
    "// ```ts",
    "/**",
    " * @example",
    " * nothing to see",
    " * @internal",
    " */"
  ].join("\n")
  const { fences, problems } = fromSource("Sum.ts", source)
  assert.deepStrictEqual(fences.map(({ line, lines }) => ({ line, lines })), [{ line: 6, lines: ["     const a = 1"] }])
  assert.deepStrictEqual(problems.map(renderProblem), ["Sum.ts:13: @example without a ```ts fence"])
})
