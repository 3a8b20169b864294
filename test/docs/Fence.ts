/**
 * The fenced code blocks of a Markdown document, or of the doc comments of a TypeScript file, each with the position it
 * has in that file, so that whatever is said about its code can name a line the author finds.
 */

/** Something wrong in a document. `line` counts from 1. */
export interface Problem {
  readonly document: string
  readonly line: number
  readonly message: string
}

/** `README.md:12: what is wrong`, the form an editor turns into a link. */
export const renderProblem = ({ document, line, message }: Problem): string => `${document}:${line}: ${message}`

/**
 * One fenced block. `line` is the line of the opening fence, counted from 1; the code begins on the next one.
 * `lines` keep their columns: what precedes the code on a line (indentation, the asterisk of a comment) is blank.
 */
export interface Fence {
  readonly document: string
  readonly line: number
  readonly language: string
  readonly tags: ReadonlySet<string>
  readonly lines: ReadonlyArray<string>
}

/** What a document holds, and what keeps some of it from being read. */
export interface Fences {
  readonly fences: ReadonlyArray<Fence>
  readonly problems: ReadonlyArray<Problem>
}

/** A run of lines of a document; `first` is the number of its first line, counted from 1. */
interface Passage {
  readonly first: number
  readonly lines: ReadonlyArray<string>
}

/** A tag that `ts` fences know: `continue` joins the fence above, `no-run` type-checks only. */
const tsTags: ReadonlySet<string> = new Set(["continue", "no-run"])

/** Languages that would slip past the compiler although they look like the code of a guide. */
const disguises: ReadonlySet<string> = new Set(["typescript", "tsx", "js", "jsx", "javascript", "mjs", "mts"])

const complaint = (language: string, tags: ReadonlySet<string>): string | undefined => {
  if (language === "") return "a code fence without a language; say `ts`, `sh`, `json`, `sql` or `text`"
  if (disguises.has(language)) return `a fence in \`${language}\` is neither type-checked nor run; make it \`ts\``
  if (language !== "ts") return undefined
  const unknown = [...tags].find((tag) => !tsTags.has(tag))
  return unknown === undefined
    ? undefined
    : `unknown tag \`${unknown}\` on a ts fence; there are \`continue\` and \`no-run\``
}

const read = (document: string, passage: Passage): Fences => {
  const fences: Array<Fence> = []
  const problems: Array<Problem> = []
  let open: { readonly marker: string; readonly fence: Fence; readonly lines: Array<string> } | undefined
  for (const [index, text] of passage.lines.entries()) {
    const line = passage.first + index
    const match = /^\s*(`{3,}|~{3,})(.*)$/.exec(text)
    const marker = match?.[1] ?? ""
    const info = match?.[2]?.trim() ?? ""
    if (open !== undefined) {
      if (marker.startsWith(open.marker) && info === "") {
        fences.push(open.fence)
        open = undefined
      } else {
        open.lines.push(text)
      }
    } else if (match !== null && !(marker.startsWith("`") && info.includes("`"))) {
      const [language = "", ...rest] = info.split(/\s+/)
      const tags = new Set(rest)
      const lines: Array<string> = []
      const message = complaint(language, tags)
      if (message !== undefined) problems.push({ document, line, message })
      open = { marker, lines, fence: { document, line, language, tags, lines } }
    }
  }
  if (open !== undefined) {
    problems.push({ document, line: open.fence.line, message: "this code fence is never closed" })
  }
  return { fences, problems }
}

/** Reads the fences of a Markdown document. */
export const fromMarkdown = (document: string, text: string): Fences =>
  read(document, { first: 1, lines: text.split("\n") })

/** The doc comments of a TypeScript file, with everything but their text blank. */
const docComments = (source: string): ReadonlyArray<Passage> => {
  const passages: Array<Passage> = []
  let open: { readonly first: number; readonly lines: Array<string> } | undefined
  for (const [index, text] of source.split("\n").entries()) {
    if (open === undefined && /^\s*\/\*\*/.test(text) && !text.includes("*/")) {
      open = { first: index + 1, lines: [text.replace(/^(\s*)\/\*\*/, "$1   ")] }
    } else if (open !== undefined) {
      const closes = text.includes("*/")
      open.lines.push((closes ? text.slice(0, text.indexOf("*/")) : text).replace(/^(\s*)\*/, "$1 "))
      if (closes) {
        passages.push(open)
        open = undefined
      }
    }
  }
  return passages
}

/** An `@example` that shows no fence before the next tag shows nothing that could be checked. */
const bareExamples = (document: string, { first, lines }: Passage): ReadonlyArray<Problem> =>
  lines.flatMap((text, index) => {
    if (!/^\s*@example\b/.test(text)) return []
    const rest = lines.slice(index + 1)
    const end = rest.findIndex((next) => /^\s*@\w/.test(next))
    const fenced = (end === -1 ? rest : rest.slice(0, end)).some((next) => /^\s*```/.test(next))
    return fenced ? [] : [{ document, line: first + index, message: "@example without a ```ts fence" }]
  })

/** Reads the fences in the doc comments of a TypeScript file. */
export const fromSource = (document: string, source: string): Fences => {
  const passages = docComments(source)
  const all = passages.map((passage) => read(document, passage))
  return {
    fences: all.flatMap(({ fences }) => fences),
    problems: [
      ...all.flatMap(({ problems }) => problems),
      ...passages.flatMap((passage) => bareExamples(document, passage))
    ]
  }
}
