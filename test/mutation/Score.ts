/**
 * What a mutation run came to, file by file, as `docs/mutation-testing.md` tells it.
 */
import type { Equivalent } from "./Equivalent.ts"

/** The part of StrykerJS's report, in the mutation testing report schema, that is read here. */
export interface StrykerReport {
  readonly files: Readonly<Record<string, ReportedFile>>
}

interface ReportedFile {
  readonly source: string
  readonly mutants: ReadonlyArray<ReportedMutant>
}

interface ReportedMutant {
  readonly mutatorName: string
  readonly replacement?: string
  readonly status: string
  readonly location: { readonly start: Position; readonly end: Position }
}

interface Position {
  readonly line: number
  readonly column: number
}

/** A mutant that no test has noticed. */
export interface Survivor {
  readonly file: string
  readonly line: number
  readonly mutator: string
  readonly original: string
  readonly replacement: string
  /** Why nothing could notice it, if that is known. */
  readonly reason: string | undefined
}

/** How many mutants of a file were noticed. */
export interface Score {
  readonly killed: number
  readonly survived: number
  /** Those that the program did not even start with, of which nothing can be said. */
  readonly invalid: number
}

/** What a run came to. */
export interface Result {
  readonly scores: ReadonlyMap<string, Score>
  readonly survivors: ReadonlyArray<Survivor>
  /** What is listed as equivalent, but did not survive. */
  readonly stale: ReadonlyArray<Equivalent>
}

/** The piece of the source that a mutant replaces, on one line. */
const originalOf = (source: string, { end, start }: ReportedMutant["location"]): string => {
  const lines = source.split("\n").slice(start.line - 1, end.line)
  const last = lines.length - 1
  return lines
    .map((line, i) => line.slice(i === 0 ? start.column - 1 : 0, i === last ? end.column - 1 : undefined).trim())
    .join(" ")
}

const isNoticed = (status: string): boolean => status === "Killed" || status === "Timeout"
const isUnnoticed = (status: string): boolean => status === "Survived" || status === "NoCoverage"

/** Reads a report, and gives each survivor its reason. */
export const read = ({ files }: StrykerReport, equivalents: ReadonlyArray<Equivalent>): Result => {
  const scores = new Map<string, Score>()
  const survivors: Array<Survivor> = []
  const used = new Set<Equivalent>()
  for (const [file, { mutants, source }] of Object.entries(files).toSorted(([a], [b]) => a < b ? -1 : 1)) {
    const unnoticed = mutants.filter(({ status }) => isUnnoticed(status))
    const killed = mutants.filter(({ status }) => isNoticed(status)).length
    scores.set(file, { killed, survived: unnoticed.length, invalid: mutants.length - killed - unnoticed.length })
    for (const { location, mutatorName: mutator, replacement = "" } of unnoticed) {
      const original = originalOf(source, location)
      const known = equivalents.find((equivalent) =>
        equivalent.file === file && equivalent.original === original && equivalent.replacement === replacement
      )
      if (known !== undefined) used.add(known)
      survivors.push({ file, line: location.start.line, mutator, original, replacement, reason: known?.reason })
    }
  }
  return { scores, survivors, stale: equivalents.filter((equivalent) => !used.has(equivalent)) }
}

/** Several scores as one. */
export const sum = (scores: Iterable<Score>): Score => {
  const total = { killed: 0, survived: 0, invalid: 0 }
  for (const { invalid, killed, survived } of scores) {
    total.killed += killed
    total.survived += survived
    total.invalid += invalid
  }
  return total
}

/** How many of a hundred mutants were noticed. Where there were none, all of them. */
export const percentage = ({ killed, survived }: Score): number =>
  killed + survived === 0 ? 100 : 100 * killed / (killed + survived)
