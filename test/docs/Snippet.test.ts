import { assert, describe, it } from "@effect/vitest"
import { fromMarkdown, type Problem, renderProblem } from "./Fence.ts"
import { fromFences } from "./Snippet.ts"
import * as SnippetTrial from "./SnippetTrial.ts"

const read = (...lines: ReadonlyArray<string>) =>
  fromFences(fromMarkdown("guide.md", lines.join("\n")).fences, SnippetTrial.runtime)

/** Type-checks and runs a document, one list of problems each. */
const attempt = async (...lines: ReadonlyArray<string>) => {
  const { problems, snippets } = read(...lines)
  assert.deepStrictEqual(problems, [])
  const trial = SnippetTrial.make(snippets)
  try {
    const types = await trial.typeCheck()
    const runs: Array<Problem> = []
    for (const snippet of snippets) if (snippet.run) runs.push(...await trial.run(snippet, 20_000))
    return { types: types.map(renderProblem), runs }
  } finally {
    trial.dispose()
  }
}

describe("programs", () => {
  it("code keeps its line; a fence stands alone unless it continues", () => {
    const { problems, snippets } = read(
      "```ts",
      "const a = 1",
      "```",
      "",
      "```ts continue",
      "a + 1",
      "```",
      "```ts",
      "const a = 2",
      "```"
    )
    assert.deepStrictEqual(problems, [])
    assert.deepStrictEqual(snippets, [
      { document: "guide.md", line: 5, run: true, code: "\nconst a = 1\n\n\n\na + 1\n" },
      { document: "guide.md", line: 8, run: true, code: "\n\n\n\n\n\n\n\nconst a = 2\n" }
    ])
  })

  it("a no-run fence is left out of the program that runs", () => {
    const { snippets } = read("```ts", "const a = 1", "```", "```ts continue no-run", "serve(a)", "```")
    assert.deepStrictEqual(snippets.map(({ code, run }) => ({ run, code: code.trim() })), [
      { run: true, code: "const a = 1" },
      { run: false, code: "const a = 1\n\n\nserve(a)" }
    ])
  })

  it("what makes no program is named with its line", () => {
    assert.deepStrictEqual(read("```ts continue", "```").problems.map(renderProblem), [
      "guide.md:1: `ts continue` without a ts fence above it"
    ])
    assert.deepStrictEqual(read("```ts no-run", "```", "```ts continue", "```").problems.map(renderProblem), [
      "guide.md:3: `ts continue` of a `no-run` fence is `no-run` too"
    ])
    const { problems: [syntax] } = read("text", "```ts", "const a = 1", "const = 2", "```")
    assert.match(syntax === undefined ? "" : renderProblem(syntax), /^guide\.md:4: Parse failed/)
    const unused = "`// => value` must follow an expression, a `const` of one name or `console.log`"
    assert.deepStrictEqual(
      read("```ts", "// => 1", "const [a, b] = [1, 2] // => [1, 2]", "```").problems.map(renderProblem),
      [
        `guide.md:2: ${unused}`,
        `guide.md:3: ${unused}`
      ]
    )
  })
})

describe("trial", { timeout: 60_000 }, () => {
  it("a good document passes, with every form of assertion", async () => {
    assert.deepStrictEqual(
      await attempt(
        "```ts",
        `import { Effect } from "effect"`,
        "const declared: number = 1 // => 1",
        "declared + 1 // => 2",
        "console.log({ declared }) // => { declared: 1 }",
        "console.log(declared, [declared]) // => 1 [ 1 ]",
        "Array.of(1, 2, 3)",
        "  .map((n) => n + 1) // => [2, 3, 4]",
        "await Effect.runPromise(Effect.gen(function*() {",
        "  const inner = yield* Effect.succeed(3) // => 3",
        "  yield* Effect.succeed(inner + 1) // => 4",
        "  return inner",
        "})) // => 3",
        "declared",
        "// => 1",
        "```",
        "```ts no-run",
        `throw new Error("needs a server")`,
        "```"
      ),
      { types: [], runs: [] }
    )
  })

  it("type errors are reported at their line, also in code that is not run", async () => {
    const { types } = await attempt(
      "```ts",
      `const a: number = "a"`,
      "```",
      "```ts no-run",
      "const list: Array<string> = []",
      "const first: string = list[0]",
      "```"
    )
    assert.deepStrictEqual(types, [
      "guide.md:2: TS2322: Type 'string' is not assignable to type 'number'.",
      "guide.md:6: TS2322: Type 'string | undefined' is not assignable to type 'string'.\n  Type 'undefined' is not assignable to type 'string'."
    ])
  })

  it("a wrong value, a thrown error and an assertion that never runs fail at run time", async () => {
    const { runs, types } = await attempt(
      "```ts",
      "const a = 1 + 1 // => 3",
      "```",
      "```ts",
      "console.log(1, 2) // => 1 3",
      "```",
      "```ts",
      `throw new Error("out of order")`,
      "```",
      "```ts",
      "export const never = () => {",
      "  Math.max(1, 2) // => 2",
      "}",
      "```",
      "```ts",
      `import { Effect } from "effect"`,
      "Effect.runFork(Effect.sync(() => {",
      "  Math.max(1, 2) // => 1",
      "}))",
      "```"
    )
    assert.deepStrictEqual(types, [])
    assert.deepStrictEqual(runs.map(({ line }) => line), [1, 4, 7, 10, 15])
    const [wrong, misprinted, thrown, skipped, swallowed] = runs.map(({ message }) => message)
    assert.include(wrong, "line 2: the value is not what the document says")
    assert.include(wrong, "guide.md:2")
    assert.include(misprinted, "line 5: the value is not what the document says")
    assert.include(thrown, "guide.md:8")
    assert.include(thrown, "out of order")
    assert.include(skipped, "the assertion on line 12 never held")
    assert.include(swallowed, "the assertion on line 18 never held")
  })

  it("a program that does not end is stopped and reported", async () => {
    const { snippets } = read("```ts", "setInterval(() => {}, 1000)", "```")
    const trial = SnippetTrial.make(snippets)
    const problems = await Promise.all(snippets.map((snippet) => trial.run(snippet, 1_000)))
    trial.dispose()
    assert.deepStrictEqual(problems.flat().map(renderProblem), ["guide.md:1: still running after 1 s"])
  })
})
