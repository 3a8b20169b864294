/**
 * What the documents show works: each `ts` fence of a Markdown document and of a doc comment is type-checked and run,
 * the scripts they name exist, their links lead somewhere. `CONTRIBUTING.md` tells authors how to write fences.
 */
import { assert, beforeAll, describe, it } from "@effect/vitest"
import { globSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { type Offer, unknownScripts } from "./docs/Command.ts"
import { fromMarkdown, fromSource, type Problem, renderProblem } from "./docs/Fence.ts"
import { broken } from "./docs/Link.ts"
import { fromFences } from "./docs/Snippet.ts"
import * as SnippetTrial from "./docs/SnippetTrial.ts"

const root = join(import.meta.dirname, "..")
const list = (...patterns: ReadonlyArray<string>): ReadonlyArray<string> =>
  globSync(patterns, { cwd: root, exclude: (name) => name.includes("node_modules") }).toSorted()
const textOf = (path: string): string => readFileSync(join(root, path), "utf8")

const expectNone = (problems: ReadonlyArray<Problem>): void => {
  if (problems.length > 0) throw new Error(`\n${problems.map(renderProblem).join("\n")}`)
}

interface Manifest {
  readonly name: string
  readonly packageManager?: string
  readonly scripts?: Readonly<Record<string, string>>
}
const manifest = (path: string): Manifest => JSON.parse(textOf(path))
const scripts = ({ scripts = {} }: Manifest): ReadonlySet<string> => new Set(Object.keys(scripts))
const offer: Offer = {
  pnpm: manifest("package.json").packageManager?.replace("pnpm@", "") ?? "",
  root: scripts(manifest("package.json")),
  packages: new Map(
    list("packages/*/package.json", "examples/*/package.json", "bench/package.json", "test/package.json")
      .map(manifest)
      .map((member) => [member.name, scripts(member)])
  )
}

const markdown = list("*.md", "docs/**/*.md", "{packages,examples}/*/*.md", "{bench,test}/*.md").map((document) => {
  const text = textOf(document)
  return { document, text, read: fromMarkdown(document, text) }
})
const sources = list("packages/*/src/**/*.ts").map((document) => ({ read: fromSource(document, textOf(document)) }))

describe.each(markdown)("$document", ({ document, read: { fences, problems }, text }) => {
  it("has only fences that a reader can trust", () => expectNone(problems))
  it("has links that lead somewhere", () => expectNone(broken(root, document, text)))
  it("names scripts that exist", () => expectNone(unknownScripts(document, text, fences, offer)))
})

it("the documents' test command is the one that CI runs", () => {
  const command = `npx -y pnpm@${offer.pnpm} test`
  assert.include(textOf(".ci/run"), `\n${command} `)
  const naming = markdown.filter(({ document }) => document === "README.md" || document === "CONTRIBUTING.md")
  for (const { document, text } of naming) assert.include(text, command, document)
})

it("the examples in doc comments are fences that a reader can trust", () =>
  expectNone(sources.flatMap(({ read }) => read.problems)))

describe("code", () => {
  const all = [...markdown, ...sources].map(({ read }) => fromFences(read.fences, SnippetTrial.runtime))
  const snippets = all.flatMap((document) => document.snippets)
  let trial: SnippetTrial.SnippetTrial
  beforeAll(() => {
    trial = SnippetTrial.make(snippets)
    return trial.dispose
  })

  it("can be read", () => expectNone(all.flatMap(({ problems }) => problems)))

  it("type-checks", { timeout: 120_000 }, async () => expectNone(await trial.typeCheck()))

  for (const snippet of snippets.filter(({ run }) => run)) {
    it.concurrent(
      `${snippet.document}:${snippet.line} runs`,
      { timeout: 65_000 },
      async () => expectNone(await trial.run(snippet, 60_000))
    )
  }
})
