/**
 * The steps that a story has taken, as code that takes them again.
 */
import { equal } from "../differences.ts"
import type { Reduction, Stopped } from "./underWay.ts"
import { inline } from "./words.ts"

/** The newest step, and those before it. */
export interface Trail {
  readonly line: () => string
  readonly before: Trail | undefined
}

export const script = (trail: Trail | undefined): string => {
  const lines: Array<string> = []
  for (let step = trail; step !== undefined; step = step.before) lines.push(`  ${step.line()}`)
  return lines.toReversed().join("\n")
}

/** What an action came to, as the claim of a story, with the comma before it; nothing when nothing came of it. */
export const claimOf = ({ before, events, fx, refusal, state }: Reduction): string => {
  if (refusal !== undefined) return `, { rejected: ${inline(refusal.reason)} }`
  const claims = [
    ...events.length === 0 ? [] : [`events: ${inline(events)}`],
    ...equal(before, state) ? [] : [`state: ${inline(state)}`],
    ...fx._tag === "None" ? [] : [`fx: ${inline(fx)}`]
  ]
  return claims.length === 0 ? "" : `, { ${claims.join(", ")} }`
}

export const lineOfReceived = (reduction: Reduction): string =>
  `story.receive(${inline(reduction.action)}${claimOf(reduction)})`

export const lineOfStopped = ({ left }: Stopped): string => `story.stopped(${left.map(inline).join(", ")})`
