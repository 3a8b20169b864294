/**
 * Tries the programs of the documents as a reader would: one file each, outside the packages, which it imports by name;
 * type-checked under the repository's strict options and run by Node in a process of its own.
 */
import { execFile } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { join, relative, resolve } from "node:path"
import { pathToFileURL } from "node:url"
import { promisify } from "node:util"
import { tsc } from "../Compiler.ts"
import type { Problem } from "./Fence.ts"
import type { Snippet } from "./Snippet.ts"

const root = join(import.meta.dirname, "..", "..")

/** The specifier under which the programs of a trial find `SnippetRuntime.ts`. */
export const runtime = "../../docs/SnippetRuntime.ts"

/** Unused names are no fault in a snippet that shows how something is declared. */
const tsconfig = {
  extends: join(root, "tsconfig.base.json"),
  include: ["*.ts"],
  compilerOptions: {
    rootDir: root,
    noEmit: true,
    composite: false,
    incremental: false,
    declarationMap: false,
    sourceMap: false,
    noUnusedLocals: false,
    noUnusedParameters: false,
    types: ["node"]
  }
}

interface Output {
  readonly ok: boolean
  readonly text: string
}

const execute = (script: string, args: ReadonlyArray<string>, cwd: string, timeout: number): Promise<Output> =>
  promisify(execFile)(process.execPath, [script, ...args], { cwd, timeout, killSignal: "SIGKILL" }).then(
    () => ({ ok: true, text: "" }),
    (error: { readonly stdout: string; readonly stderr: string; readonly killed: boolean }) => ({
      ok: false,
      text: `${error.stdout}${error.stderr}${error.killed ? `still running after ${timeout / 1000} s` : ""}`.trim()
    })
  )

/** The written programs. Call `dispose` when done. */
export interface SnippetTrial {
  /** Every type error, in a document or in what its code imports. */
  readonly typeCheck: () => Promise<ReadonlyArray<Problem>>
  /** Runs one program; its problem if it fails or has not ended after `timeout` milliseconds. */
  readonly run: (snippet: Snippet, timeout: number) => Promise<ReadonlyArray<Problem>>
  readonly dispose: () => void
}

/** Writes the programs into a folder of their own, which git, the linter and the formatter ignore. */
export const make = (snippets: ReadonlyArray<Snippet>): SnippetTrial => {
  const parent = join(root, "test", ".tsbuild")
  mkdirSync(parent, { recursive: true })
  const folder = mkdtempSync(join(parent, "docs-"))
  const files = new Map(
    snippets.map((snippet) => {
      const name = `${snippet.document}.${snippet.line}${snippet.run ? "" : ".no-run"}.ts`
      return [snippet, join(folder, name.replaceAll(/[/\\]/g, "."))] as const
    })
  )
  const documents = new Map([...files].map(([{ document }, file]) => [file, document] as const))
  for (const [{ code }, file] of files) writeFileSync(file, code)
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(tsconfig))

  return {
    typeCheck: async () => {
      if (files.size === 0) return []
      const { ok, text } = await execute(tsc, ["-p", "tsconfig.json", "--pretty", "false"], folder, 120_000)
      if (ok) return []
      const problems: Array<Problem> = []
      for (const line of text.split("\n")) {
        const [, path, at, message] = /^(.+?)\((\d+),\d+\): error (.*)$/.exec(line) ?? []
        const last = problems.at(-1)
        if (path !== undefined && message !== undefined) {
          const file = resolve(folder, path)
          problems.push({ document: documents.get(file) ?? relative(root, file), line: Number(at), message })
        } else if (last !== undefined && line.startsWith(" ")) {
          problems[problems.length - 1] = { ...last, message: `${last.message}\n${line}` }
        } else {
          problems.push({ document: "tsconfig.json", line: 1, message: line })
        }
      }
      return problems
    },
    run: async (snippet, timeout) => {
      const file = files.get(snippet)
      if (file === undefined) throw new Error(`${snippet.document}:${snippet.line} is no part of this trial`)
      const { ok, text } = await execute(file, [], folder, timeout)
      if (ok) return []
      const message = text.replaceAll(pathToFileURL(file).href, snippet.document).replaceAll(file, snippet.document)
      return [{ document: snippet.document, line: snippet.line, message: message || "exited with a failure, silently" }]
    },
    dispose: () => rmSync(folder, { recursive: true, force: true })
  }
}
