import { assert, it } from "@effect/vitest"
import { unknownScripts } from "./Command.ts"
import { fromMarkdown, renderProblem } from "./Fence.ts"

const check = (...lines: ReadonlyArray<string>) => {
  const text = lines.join("\n")
  return unknownScripts("guide.md", text, fromMarkdown("guide.md", text).fences, {
    pnpm: "12.21.0",
    root: new Set(["test", "orders"]),
    packages: new Map([["bench", new Set(["start"])]])
  }).map(renderProblem)
}

it("scripts that exist and commands of pnpm itself are fine", () => {
  assert.deepStrictEqual(
    check(
      "Run `pnpm test`, or `pnpm <script>`; pnpm frobnicate is prose.",
      "```sh",
      "npx -y pnpm@12.21.0 orders import FILE --data DIR   # pnpm nonsense",
      "DATABASE_URL=x pnpm run test && pnpm --silent --filter bench start | pnpm install",
      "```",
      "```ts",
      "const command = `pnpm nonsense`",
      "```"
    ),
    []
  )
})

it("scripts that do not exist and another pnpm are named with their line", () => {
  assert.deepStrictEqual(
    check(
      "Run `pnpm tset`.",
      "```sh",
      "cd x && pnpm run order",
      "npx -y pnpm@9.0.0 test",
      "pnpm --filter bench go",
      "pnpm --filter x y",
      "```"
    ),
    [
      "guide.md:3: pnpm order: there is no such script in the root's package.json",
      "guide.md:4: pnpm 9.0.0 is named here, the repository uses 12.21.0",
      "guide.md:5: pnpm go: there is no such script in bench's package.json",
      "guide.md:6: pnpm --filter x: the workspace has no such package",
      "guide.md:1: pnpm tset: there is no such script in the root's package.json"
    ]
  )
})
