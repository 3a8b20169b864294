import { assert, it } from "@effect/vitest"
import { join } from "node:path"
import { renderProblem } from "./Fence.ts"
import { broken } from "./Link.ts"

const root = join(import.meta.dirname, "..", "..")
const check = (...lines: ReadonlyArray<string>) => broken(root, "docs/guide.md", lines.join("\n")).map(renderProblem)

it("files, folders, headings and addresses elsewhere are fine", () => {
  assert.deepStrictEqual(
    check(
      "# The guide, `v1` & more",
      "[a](../LICENSE) [b](../packages/) [c](#the-guide-v1--more) [d](https://example.org/x.md) [e](../LICENSE \"title\")",
      "`[f](gone.md)`",
      "```text",
      "[g](gone.md)",
      "```",
      "[h]: ../package.json"
    ),
    []
  )
})

it("a missing file, a missing heading and a way out of the repository are named with their line", () => {
  assert.deepStrictEqual(
    check("# Guide", "see [a](gone.md) and ![b](#nothing)", "", "[c]: ../../elsewhere.md"),
    [
      "docs/guide.md:2: the link gone.md points at docs/gone.md, which does not exist",
      "docs/guide.md:2: the link #nothing names a heading that docs/guide.md does not have",
      "docs/guide.md:4: the link ../../elsewhere.md leaves the repository"
    ]
  )
})
