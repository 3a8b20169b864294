/**
 * Programs made of the `ts` fences of a document. Every line of code keeps the number it has in the document, so the
 * compiler and a stack trace point at the place to mend.
 *
 * A fence stands alone unless it is tagged `continue`; then it is one program with the fence above. `// => value` behind
 * a statement asserts that its expression, or the constant it declares, deeply equals the value; behind a `console.log`
 * of several arguments stands what it prints.
 */
import { parseAst } from "vitest/node"
import type { Fence, Problem } from "./Fence.ts"

/** A program to type-check and, if `run`, to run. `line` is that of its last fence, which gives it its name. */
export interface Snippet {
  readonly document: string
  readonly line: number
  readonly run: boolean
  readonly code: string
}

/** The programs of a document, and the fences that make none. */
export interface Snippets {
  readonly snippets: ReadonlyArray<Snippet>
  readonly problems: ReadonlyArray<Problem>
}

interface Node {
  readonly type: string
  readonly start: number
  readonly end: number
}

const isNode = (value: unknown): value is Node =>
  typeof value === "object" && value !== null && "type" in value && "start" in value && "end" in value

const field = (node: Node, name: string): unknown => Object.entries(node).find(([key]) => key === name)?.[1]

const nodes = (value: unknown): ReadonlyArray<Node> => Array.isArray(value) ? value.filter(isNode) : []

const children = (node: Node): ReadonlyArray<Node> =>
  Object.values(node).flatMap((value: unknown) =>
    Array.isArray(value) ? value.filter(isNode) : isNode(value) ? [value] : []
  )

/** Statements an assertion can follow, however deeply they are nested. */
const statements = (node: Node): ReadonlyArray<Node> => [
  ...(node.type === "ExpressionStatement" || node.type === "VariableDeclaration" ? [node] : []),
  ...children(node).flatMap(statements)
]

/** Text that takes the place of `[start, end)`. */
interface Edit {
  readonly start: number
  readonly end: number
  readonly text: string
}

/** The edits that make a statement assert its value, or nothing if it is of a kind that shows none. */
const assertion = (code: string, statement: Node, line: number, value: string): ReadonlyArray<Edit> | undefined => {
  const before = `;assertEquals(${line}, (`
  const after = `), (${value}))`
  const around = (whole: Node, shown: Node): ReadonlyArray<Edit> => [
    { start: whole.start, end: shown.start, text: before },
    { start: shown.end, end: whole.end, text: after }
  ]
  if (statement.type === "VariableDeclaration") {
    const [declaration, ...others] = children(statement)
    const name = declaration === undefined ? undefined : field(declaration, "id")
    if (others.length > 0 || !isNode(name) || name.type !== "Identifier") return undefined
    return [{ start: statement.end, end: statement.end, text: before + String(field(name, "name")) + after }]
  }
  const expression = field(statement, "expression")
  if (!isNode(expression)) return undefined
  const callee = field(expression, "callee")
  if (!isNode(callee) || code.slice(callee.start, callee.end) !== "console.log") return around(expression, expression)
  const [printed, ...more] = nodes(field(expression, "arguments"))
  if (printed === undefined) return undefined
  if (more.length === 0) return around(expression, printed)
  return [
    { start: expression.start, end: printed.start, text: `;assertEquals(${line}, printed(` },
    { start: expression.end - 1, end: expression.end, text: `), ${JSON.stringify(value)})` }
  ]
}

const apply = (code: string, edits: ReadonlyArray<Edit>): string =>
  edits
    .toSorted((left, right) => right.start - left.start)
    .reduce((text, edit) => text.slice(0, edit.start) + edit.text + text.slice(edit.end), code)

const lineOf = (code: string, offset: number): number => code.slice(0, offset).split("\n").length

/** The syntax tree, or the offset and text of the first syntax error. */
const parse = (code: string): { readonly tree: Node } | { readonly offset: number; readonly message: string } => {
  try {
    return { tree: parseAst(code, { lang: "ts" }) }
  } catch (error) {
    if (!(error instanceof Error)) throw error
    const offset = "pos" in error && typeof error.pos === "number" ? error.pos : 0
    return { offset, message: error.message.split("\n").slice(0, 2).join(" ") }
  }
}

/**
 * Turns `// => value` into assertions. They are numbered by line, and the first line, which never holds a document's
 * code, registers them: an assertion that is never reached fails as well.
 */
const withAssertions = (document: string, code: string, runtime: string): string | ReadonlyArray<Problem> => {
  const parsed = parse(code)
  if ("message" in parsed) return [{ document, line: lineOf(code, parsed.offset), message: parsed.message }]
  const followable = statements(parsed.tree)
  const problems: Array<Problem> = []
  const asserted: Array<number> = []
  const edits: Array<Edit> = []
  for (const comment of code.matchAll(/\/\/ =>(.*)$/gm)) {
    const line = lineOf(code, comment.index)
    const value = comment[1]?.trim() ?? ""
    const statement = followable.findLast(({ end }) =>
      end <= comment.index && /^[\s;]*$/.test(code.slice(end, comment.index))
    )
    const asserting = statement === undefined || value === "" ? undefined : assertion(code, statement, line, value)
    if (asserting === undefined) {
      problems.push({
        document,
        line,
        message: "`// => value` must follow an expression, a `const` of one name or `console.log`"
      })
    } else {
      asserted.push(line)
      edits.push(...asserting, { start: comment.index, end: comment.index + comment[0].length, text: "" })
    }
  }
  if (problems.length > 0) return problems
  if (asserted.length === 0) return code
  const header = `import { expectAssertions, printed } from ${JSON.stringify(runtime)}`
  return `${header}; const assertEquals = expectAssertions(${JSON.stringify(asserted)})${apply(code, edits)}`
}

/** A document with nothing left but the code of some fences. */
const only = (fences: ReadonlyArray<Fence>): string => {
  const lines: Array<string> = []
  for (const fence of fences) {
    while (lines.length < fence.line) lines.push("")
    lines.push(...fence.lines)
  }
  return `${lines.join("\n")}\n`
}

/**
 * Makes programs of the `ts` fences of one document. `runtime` is the specifier under which a program finds
 * `SnippetRuntime.ts`.
 */
export const fromFences = (fences: ReadonlyArray<Fence>, runtime: string): Snippets => {
  const snippets: Array<Snippet> = []
  const problems: Array<Problem> = []
  /** Adds the program of a chain; false if it cannot be made, and then no longer chain can. */
  const add = (chain: ReadonlyArray<Fence>, run: boolean): boolean => {
    const last = chain.at(-1)
    if (last === undefined) return true
    const code = withAssertions(last.document, only(chain), runtime)
    if (typeof code !== "string") {
      problems.push(...code)
      return false
    }
    snippets.push({ document: last.document, line: last.line, run, code })
    return true
  }

  const chains: Array<Array<Fence>> = []
  for (const fence of fences) {
    if (fence.language !== "ts") continue
    const above = chains.at(-1)
    const continues = fence.tags.has("continue")
    if (continues && above === undefined) {
      problems.push({
        document: fence.document,
        line: fence.line,
        message: "`ts continue` without a ts fence above it"
      })
    } else if (continues && above?.at(-1)?.tags.has("no-run") === true && !fence.tags.has("no-run")) {
      problems.push({
        document: fence.document,
        line: fence.line,
        message: "`ts continue` of a `no-run` fence is `no-run` too"
      })
    } else if (continues) {
      above?.push(fence)
    } else {
      chains.push([fence])
    }
  }
  for (const chain of chains) {
    const runnable = chain.filter((fence) => !fence.tags.has("no-run"))
    if (add(runnable, true) && runnable.length < chain.length) add(chain, false)
  }
  return { snippets, problems }
}
