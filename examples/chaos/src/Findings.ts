/**
 * What a run of chaos found to be wrong. The process ends with exit code 1 for it.
 */
import { Effect, Runtime, Schema } from "effect"

const shown = 20

/** What is not as it must be, in words. */
export class Findings extends Schema.TaggedError<Findings>()("Findings", {
  seed: Schema.Int,
  findings: Schema.NonEmptyArray(Schema.String)
}) {
  override readonly [Runtime.errorExitCode] = 1
  override get message(): string {
    const { findings, seed } = this
    const more = findings.length > shown ? `\n  and ${findings.length - shown} more` : ""
    return `With --seed ${seed}, ${findings.length} findings:\n  ${findings.slice(0, shown).join("\n  ")}${more}`
  }
}

/** Fails when anything was found. */
export const none = (seed: number, findings: ReadonlyArray<string>): Effect.Effect<void, Findings> => {
  const [first, ...rest] = findings
  return first === undefined ? Effect.void : Effect.fail(new Findings({ seed, findings: [first, ...rest] }))
}
