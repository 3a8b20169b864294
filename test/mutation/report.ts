/**
 * Writes `docs/mutation-testing.md` from the report of the run before, the second half of `pnpm mutate`. Fails when less
 * than 90 % of the mutants of core's reducers, or of the order's rules, were noticed; when one survived for no known
 * reason; and when one that is listed as equivalent did not survive.
 */
import { execFileSync } from "node:child_process"
import { readFileSync, writeFileSync } from "node:fs"
import { availableParallelism } from "node:os"
import { join } from "node:path"
import { equivalents } from "./Equivalent.ts"
import { percentage, read, type Result, type Score, type StrykerReport, sum, type Survivor } from "./Score.ts"

const root = join(import.meta.dirname, "../..")
const least = 90

const subjects = [
  { name: "Core's reducers", folder: "packages/core/" },
  { name: "The order's rules", folder: "examples/order-processing/" }
]

const jsonOf = (path: string): unknown => JSON.parse(readFileSync(join(root, path), "utf8"))
const versionOf = (name: string): string =>
  (jsonOf(`node_modules/${name}/package.json`) as { readonly version: string }).version

const code = (text: string): string => `\`\`${text.replaceAll("|", "\\|").replaceAll("\n", " ")}\`\``

const row = (name: string, score: Score): string =>
  `| ${name} | ${score.killed + score.survived} | ${score.killed} | ${score.survived} | ${
    percentage(score).toFixed(1)
  } % |`

const survivorRow = ({ file, line, original, reason, replacement }: Survivor): string =>
  `| ${file.split("/").at(-1)}:${line} | ${code(original)} | ${code(replacement === "" ? "nothing" : replacement)} | ${
    reason ?? "**none known**"
  } |`

const scoresWithin = ({ scores }: Result, folder: string): ReadonlyArray<Score> =>
  [...scores].flatMap(([file, score]) => file.startsWith(folder) ? [score] : [])

const documentOf = (result: Result): string => {
  const { scores, survivors } = result
  const total = sum(scores.values())
  const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], { cwd: root, encoding: "utf8" }).trim()
  return `# Mutation testing

A mutant is the code with one small change: a condition turned round, a string emptied, a call left out. Tests that let it pass would let the mistake pass, too. StrykerJS makes the mutants of core's reducers and of the order's rules and runs the tests that reach them; this file is written by the run.

\`\`\`sh
pnpm mutate
\`\`\`

It fails when less than ${least} % of the mutants of either are noticed, and when one survives for no reason that is known. It needs no PostgreSQL, and takes a quarter of an hour on two idle cores. What is mutated, and by which tests it is noticed, stands in [test/mutation](../test/mutation/stryker.config.json).

- Date: ${new Date().toISOString().slice(0, 10)}, of commit ${commit}
- Versions: StrykerJS ${versionOf("@stryker-mutator/core")}, vitest ${versionOf("vitest")}, TypeScript ${
    versionOf("typescript")
  }, Node ${process.versions.node}, on ${availableParallelism()} cores

| | mutants | noticed | survived | score |
|---|---|---|---|---|
${subjects.map(({ folder, name }) => row(`**${name}**`, sum(scoresWithin(result, folder)))).join("\n")}
${[...scores].map(([file, score]) => row(file, score)).join("\n")}
${row("**All**", total)}

${total.invalid} further mutants were none: with them a module cannot even be loaded.

## Survivors

Each of them does the same as the original, so no test of behaviour could tell.

| where | original | mutant | why it makes no difference |
|---|---|---|---|
${survivors.map(survivorRow).join("\n")}
`
}

const complaintsOf = (result: Result): ReadonlyArray<string> => [
  ...subjects.flatMap(({ folder, name }) => {
    const score = percentage(sum(scoresWithin(result, folder)))
    return score < least ? [`${name}: ${score.toFixed(1)} % were noticed, of at least ${least} %.`] : []
  }),
  ...result.survivors.filter(({ reason }) => reason === undefined).map(({ file, line, original, replacement }) =>
    `${file}:${line}: ${original} survives as ${replacement}. Test what it does, delete it if it does nothing, or give ` +
    `the reason in test/mutation/Equivalent.ts.`
  ),
  ...result.stale.map(({ file, original, replacement }) =>
    `${file}: ${original} as ${replacement} does not survive any more. Take it out of test/mutation/Equivalent.ts.`
  )
]

const result = read(jsonOf(".tsbuild/mutation.json") as StrykerReport, equivalents)
writeFileSync(join(root, "docs/mutation-testing.md"), documentOf(result))
const complaints = complaintsOf(result)
for (const complaint of complaints) process.stderr.write(`${complaint}\n`)
process.stdout.write(
  `${percentage(sum(result.scores.values())).toFixed(1)} % noticed; wrote docs/mutation-testing.md\n`
)
process.exitCode = complaints.length === 0 ? 0 : 1
