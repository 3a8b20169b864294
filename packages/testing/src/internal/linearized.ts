/**
 * Whether commands that were dispatched at the same time came to what they would have come to one after the other, in
 * the order of the log.
 */
import type { Meta } from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import type { Outcome } from "@composable-ts/core/AggregateStore"
import type { Recorded } from "@composable-ts/core/History"
import * as Formatter from "effect/Formatter"
import * as Result from "effect/Result"
import { differences, equal } from "./differences.ts"

type Tag = { readonly _tag: string }

/** A command that was dispatched among others, and what came of it. */
export interface Dispatched<S, C, E> {
  readonly command: C
  /** With what it was decided, the last time. */
  readonly meta: Meta
  readonly result: Result.Result<Outcome<S, E>, unknown>
}

const worded = (expected: unknown, actual: unknown): string => differences(expected, actual).join("; ")

/** What is wrong with what came of the commands; nothing when they might as well have come one after the other. */
export const flawOf = <S, C extends Tag, E extends Tag, R, N>(
  aggregate: Aggregate.Aggregate<S, C, E, R, N>,
  dispatched: ReadonlyArray<Dispatched<S, C, E>>,
  log: ReadonlyArray<Recorded<E>>
): string | undefined => {
  const gap = log.findIndex(({ recorded }, index) => recorded.version !== index)
  if (gap >= 0) return `the stream's versions are not dense: ${log[gap]!.recorded.version} stands in place ${gap}`

  // The serial run: the commands that stored something, each on the state behind the one before.
  const states: Array<S> = [aggregate.initial]
  const settled = new Set<Dispatched<S, C, E>>()
  for (let from = 0; from < log.length;) {
    const { commandId } = log[from]!.recorded
    const one = dispatched.find(({ meta }) => meta.id === commandId)
    if (one === undefined) return `the log holds events of a command that was not dispatched: ${commandId}`
    const name = one.command._tag
    if (settled.has(one)) return `the events of ${name} were stored twice, or not together`
    settled.add(one)
    const serial = Aggregate.step(aggregate, states.at(-1)!, one.command, one.meta)
    const stored = log.slice(from).filter(({ recorded }) => recorded.commandId === commandId)
    if (serial.refusal !== undefined) {
      return `${name} stored ${stored.map(({ event }) => event._tag).join(", ")} at version ${from}, but behind what ` +
        `was stored before it is refused: ${Formatter.format(serial.refusal.reason)}`
    }
    const events = log.slice(from, from + stored.length).map(({ event }) => event)
    if (!equal(serial.events, events)) {
      return `${name} stored other events than it decides behind what was stored before: ${
        worded(serial.events, events)
      }`
    }
    const last = from + stored.length - 1
    if (Result.isFailure(one.result)) return `${name} failed, but its events were stored: ${String(one.result.failure)}`
    const { state, version } = one.result.success
    if (version !== last) return `${name} was told version ${version}, but its last event stands at ${last}`
    if (!equal(serial.state, state)) return `${name} was told another state: ${worded(serial.state, state)}`
    states.push(serial.state)
    from = last + 1
  }

  // The others changed nothing, so any state that there was may have been the one that they were decided on.
  for (const one of dispatched) {
    if (settled.has(one)) continue
    const flaw = flawOfUnstored(aggregate, one, states)
    if (flaw !== undefined) return flaw
  }
  return undefined
}

const flawOfUnstored = <S, C extends Tag, E extends Tag, R, N>(
  aggregate: Aggregate.Aggregate<S, C, E, R, N>,
  { command, meta, result }: Dispatched<S, C, E>,
  states: ReadonlyArray<S>
): string | undefined => {
  if (Result.isSuccess(result) && result.success.events.length > 0) {
    return `an update was lost: ${command._tag} was told that its events were stored, but the log does not hold them`
  }
  const fits = states.some((state) => {
    const { events, refusal } = Aggregate.step(aggregate, state, command, meta)
    return Result.isFailure(result)
      ? refusal !== undefined && equal(refusal.reason, result.failure)
      : refusal === undefined && events.length === 0 && equal(state, result.success.state)
  })
  if (fits) return undefined
  return Result.isFailure(result)
    ? `${command._tag} failed as on no state that there was: ${Formatter.format(result.failure)}`
    : `${command._tag} was accepted with nothing to store, as on no state that there was`
}
