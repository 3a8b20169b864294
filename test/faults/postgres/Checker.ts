/**
 * Decides whether a history of clients agrees with the log that they left. It knows nothing of the store: it reads the
 * table itself, and reasons from times and rows alone. The names I1 to I10 are those of the fault plan.
 *
 * Positions are drawn in commit order, so the log is one sequence of states, and each operation must fit in it: whoever
 * learnt of a position knows that all before it is committed, and what is invoked later must come behind it, or see it.
 */
import type { ExpectedVersion } from "@composable-ts/core/ExpectedVersion"
import type { Effect } from "effect"
import type { SqlClient, SqlError } from "effect/sql"
import * as Invariants from "../../../packages/postgres/test/Invariants.ts"
import { type Delivery, markOf, type Operation, type Part, type Seen } from "./Operation.ts"

/** A row of the log, with what it says and a digest of the whole of it. */
export interface Row extends Invariants.Row {
  readonly mark: string
  readonly digest: string
}

/** The whole log, in order of position. */
export const readRows = (
  sql: SqlClient.SqlClient,
  schema: string
): Effect.Effect<ReadonlyArray<Row>, SqlError.SqlError> =>
  sql<Row>`SELECT global_position AS position, stream_id AS "streamId", version, command_id AS "commandId",
    command_size AS "commandSize", data ->> 'note' AS mark, md5(event::text) AS digest
    FROM ${sql(schema)}.events AS event ORDER BY global_position`

/** All that is known of a run. */
export interface Evidence {
  /** The log at the end. */
  readonly rows: ReadonlyArray<Row>
  /** The log as it was read from the table before. */
  readonly earlier: ReadonlyArray<Row>
  readonly operations: ReadonlyArray<Operation>
  readonly deliveries: ReadonlyArray<Delivery>
  /** Who followed the log from its beginning to its end. */
  readonly subscribers: ReadonlyArray<string>
}

interface Command {
  /** When the first operation with its id was invoked. */
  invoked: bigint
  parts: ReadonlyArray<Part>
  readonly rows: Array<Row>
  readonly operations: Array<Operation>
}

type Append = Operation & { readonly call: { readonly _tag: "Append" } }

const isAppend = (operation: Operation): operation is Append => operation.call._tag === "Append"

const admits = (expected: ExpectedVersion, standing: number): boolean => {
  switch (expected._tag) {
    case "Exact":
      return standing === expected.version
    case "NoStream":
      return standing === -1
    case "StreamExists":
      return standing >= 0
    case "Any":
      return true
  }
}

const commandsOf = ({ operations, rows }: Evidence): Map<string, Command> => {
  const commands = new Map<string, Command>()
  for (const operation of operations) {
    if (!isAppend(operation)) continue
    const { commandId, parts } = operation.call
    const command = commands.get(commandId)
    if (command === undefined) {
      commands.set(commandId, { invoked: operation.invoked, parts, rows: [], operations: [operation] })
    } else {
      if (operation.invoked < command.invoked) command.invoked = operation.invoked
      command.operations.push(operation)
    }
  }
  for (const row of rows) commands.get(row.commandId)?.rows.push(row)
  return commands
}

/** The rows by place, and what may be concluded from an event that somebody saw. */
class Log {
  readonly rows: ReadonlyArray<Row>
  readonly commands: ReadonlyMap<string, Command>
  readonly #streams = new Map<string, Array<Row>>()
  readonly #byPosition = new Map<bigint, Row>()
  /** When a position was known to be committed, in order of time; positions only grow. */
  readonly #known: Array<{ readonly at: bigint; readonly position: bigint }> = []

  constructor(evidence: Evidence, commands: ReadonlyMap<string, Command>) {
    this.rows = evidence.rows
    this.commands = commands
    for (const row of evidence.rows) {
      this.#byPosition.set(row.position, row)
      const stream = this.#streams.get(row.streamId)
      if (stream === undefined) this.#streams.set(row.streamId, [row])
      else stream.push(row)
    }
    const learnt = evidence.deliveries.map(({ at, event }) => ({ at, position: event.position }))
    for (const { ended, outcome } of evidence.operations) {
      if (ended === undefined) continue
      const positions: Array<bigint> = []
      if (outcome._tag === "Stored") positions.push(...outcome.results.map(({ position }) => position))
      if (outcome._tag === "Stream") positions.push(...outcome.events.map(({ position }) => position))
      if (outcome._tag === "Page") positions.push(outcome.head)
      for (const position of positions) learnt.push({ at: ended, position })
    }
    learnt.sort((a, b) => a.at < b.at ? -1 : a.at > b.at ? 1 : 0)
    let highest = 0n
    for (const { at, position } of learnt) {
      if (position <= highest) continue
      highest = position
      this.#known.push({ at, position })
    }
  }

  at(position: bigint): Row | undefined {
    return this.#byPosition.get(position)
  }

  stream(streamId: string): ReadonlyArray<Row> {
    return this.#streams.get(streamId) ?? []
  }

  /** The position that somebody knew to be committed before this time. */
  knownBefore(time: bigint): bigint {
    let low = 0
    let high = this.#known.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#known[middle]!.at < time) low = middle + 1
      else high = middle
    }
    return this.#known[low - 1]?.position ?? 0n
  }

  /** Whether nobody had asked for this row yet. */
  isFuture(row: Row, time: bigint): boolean {
    const command = this.commands.get(row.commandId)
    return command === undefined || command.invoked >= time
  }

  /** Whether the log could end behind this row: not in the midst of a command. */
  isBoundary(row: Row): boolean {
    return this.at(row.position + 1n)?.commandId !== row.commandId
  }
}

const show = (value: unknown): string =>
  JSON.stringify(value, (_, part) => typeof part === "bigint" ? String(part) : part)

const same = (row: Row | undefined, event: Seen): boolean =>
  row !== undefined && row.position === event.position && row.streamId === event.streamId
  && row.version === event.version && row.mark === event.mark

/** Every row was asked for, as it is; and what one command stored is all of it. */
const rowViolations = (log: Log): ReadonlyArray<string> => {
  const violations: Array<string> = []
  const index = new Map<string, number>()
  for (const row of log.rows) {
    const nth = index.get(row.commandId) ?? 0
    index.set(row.commandId, nth + 1)
    if (!log.commands.has(row.commandId)) violations.push(`phantom: nobody asked for ${show(row)}`)
    else if (row.mark !== markOf(row.commandId, nth)) violations.push(`I1: event ${nth} of its command is ${show(row)}`)
  }
  for (const [id, { invoked, parts, rows }] of log.commands) {
    const asked = parts.flatMap(({ size, streamId }) => Array.from({ length: size }, () => streamId))
    const whole = asked.length === rows.length && asked.every((streamId, i) => rows[i]!.streamId === streamId)
    if (rows.length > 0 && !whole) violations.push(`I2: command ${id} stored ${rows.length} of ${asked.length}`)
    const known = log.knownBefore(invoked)
    const first = rows[0]
    if (first !== undefined && first.position <= known) {
      violations.push(
        `real time: command ${id} stands at ${first.position}, but ${known} was known before it was asked for`
      )
    }
  }
  return violations
}

/** I1, I2, I5: what each append was told. */
const appendViolations = (log: Log): ReadonlyArray<string> => {
  const violations: Array<string> = []
  const winners = new Map<string, string>()
  for (const [id, { operations, parts, rows }] of log.commands) {
    const settled = operations.some(({ outcome }) => outcome._tag === "Stored" || outcome._tag === "Unknown")
    let firsts = 0
    for (const operation of operations) {
      const { invoked, outcome } = operation
      const ended = operation.ended ?? invoked
      switch (outcome._tag) {
        case "Stored": {
          let next = 0
          for (const [i, { expected, size, streamId }] of parts.entries()) {
            const told = outcome.results[i]
            if (expected._tag === "Exact" || expected._tag === "NoStream") {
              const key = `${streamId}@${expected._tag === "Exact" ? expected.version : -1}`
              const winner = winners.get(key) ?? id
              if (winner !== id) violations.push(`I5: ${winner} and ${id} both won ${key}`)
              winners.set(key, id)
            }
            const row = rows[next += size, next - 1]
            if (row === undefined || told?.version !== row.version || told.position !== row.position) {
              violations.push(`I1: command ${id}, part ${i} was told ${show(told)}, but there is ${show(row)}`)
              continue
            }
            const standing = told.version - size
            if (!admits(expected, standing)) {
              violations.push(`I5: command ${id} expected ${show(expected)} of ${streamId}, which stood at ${standing}`)
            }
          }
          const duplicate = outcome.results[0]?.duplicate === true
          if (!duplicate && ++firsts === 2) violations.push(`I1: command ${id} was stored for the first time twice`)
          if (duplicate && !operations.some((other) => other !== operation && other.invoked < ended)) {
            violations.push(`I1: command ${id} was called a duplicate of nothing`)
          }
          break
        }
        case "Conflict": {
          const last = rows.at(-1)
          if (last !== undefined && (!settled || last.position <= log.knownBefore(invoked))) {
            violations.push(`I2: command ${id} was refused and is there`)
          }
          violations.push(...conflictViolations(log, id, operation, outcome))
          break
        }
        case "Unexpected":
          violations.push(`command ${id}: ${outcome.why}`)
      }
    }
  }
  return violations
}

/** The stream did stand at the version that the conflict names, at some time while the append was under way. */
const conflictViolations = (
  log: Log,
  id: string,
  { call, ended, invoked }: Operation,
  conflict: Operation["outcome"] & { readonly _tag: "Conflict" }
): ReadonlyArray<string> => {
  const { actual, expected, streamId } = conflict
  if (call._tag !== "Append" || ended === undefined) return []
  const known = log.knownBefore(invoked)
  const stream = log.stream(streamId)
  let own = 0
  for (const part of call.parts) {
    if (part.streamId !== streamId) continue
    // Earlier parts of the same command count as if they were stored.
    const standing = actual - own
    own += part.size
    if (show(part.expected) !== show(expected) || admits(expected, actual)) continue
    const last = stream[standing]
    const next = stream[standing + 1]
    const was = standing === -1 || (last !== undefined && !log.isFuture(last, ended))
    const wasStill = next === undefined || next.position > known
    const whole = last === undefined || last.commandId !== next?.commandId
    if (was && wasStill && whole) return []
  }
  return [`conflict: command ${id} was told that ${streamId} stands at ${actual}, which was not so`]
}

/** Reads show a state that the log had: whole commands, all that was known before, nothing of the future. */
const readViolations = (log: Log, { operations }: Evidence): ReadonlyArray<string> =>
  operations.flatMap(({ call, client, ended, invoked, outcome }): ReadonlyArray<string> => {
    if (call._tag === "Append" || ended === undefined) return []
    const violations: Array<string> = []
    const name = `${client}: ${show(call)}`
    if (outcome._tag === "Unexpected") violations.push(`${name}: ${outcome.why}`)
    if (outcome._tag !== "Stream" && outcome._tag !== "Page") return violations
    const known = log.knownBefore(invoked)
    for (const event of outcome.events) {
      const row = log.at(event.position)
      if (!same(row, event)) violations.push(`phantom: ${name} saw ${show(event)}, but there is ${show(row)}`)
      else if (log.isFuture(row!, ended)) violations.push(`phantom: ${name} saw ${show(event)} before it was asked for`)
    }
    if (call._tag === "ReadStream" && outcome._tag === "Stream") {
      const stream = log.stream(call.streamId)
      outcome.events.forEach(({ position }, i) => {
        if (stream[i]?.position !== position) violations.push(`torn read: ${name} has ${position} in place ${i}`)
      })
      const next = stream[outcome.events.length]
      if (next !== undefined && next.position <= known) {
        violations.push(`stale read: ${name} lacks ${next.position}, though ${known} was known before`)
      }
      if (next !== undefined && stream[outcome.events.length - 1]?.commandId === next.commandId) {
        violations.push(`torn batch: ${name} ends in the midst of command ${next.commandId}`)
      }
    }
    if (call._tag === "ReadLog" && outcome._tag === "Page") {
      const { head } = outcome
      const last = log.at(head)
      const end = call.after + BigInt(call.limit)
      const position = end < head ? end : head > call.after ? head : call.after
      // Positions are dense, else that is a violation of its own.
      const due = log.rows.slice(Number(call.after), Number(position))
      if (outcome.position !== position) violations.push(`${name} reached ${outcome.position}, not ${position}`)
      if (due.length !== outcome.events.length || due.some((row, i) => !same(row, outcome.events[i]!))) {
        violations.push(`torn read: ${name} has ${outcome.events.length} of ${due.length} events up to ${position}`)
      }
      if (head < known) violations.push(`stale read: ${name} ends at ${head}, though ${known} was known before`)
      if (head > 0n && last === undefined) violations.push(`phantom: ${name} ends at ${head}, where nothing is`)
      if (last !== undefined && log.isFuture(last, ended)) violations.push(`phantom: ${name} ends in the future`)
      if (last !== undefined && !log.isBoundary(last)) {
        violations.push(`torn batch: ${name} ends in the midst of command ${last.commandId}`)
      }
    }
    return violations
  })

/** I6: each subscriber got every event once, in order, and none before it was asked for. */
const deliveryViolations = (log: Log, { deliveries, subscribers }: Evidence): ReadonlyArray<string> =>
  subscribers.flatMap((subscriber) => {
    const got = deliveries.filter((delivery) => delivery.subscriber === subscriber)
    for (let i = 0; i < Math.max(log.rows.length, got.length); i++) {
      const row = log.rows[i]
      const delivery = got[i]
      if (delivery === undefined) return [`I6: ${subscriber} got ${i} of ${log.rows.length} events`]
      if (!same(row, delivery.event)) {
        return [`I6: delivery ${i + 1} to ${subscriber} was ${show(delivery.event)}, not ${show(row)}`]
      }
      if (log.isFuture(row!, delivery.at)) return [`I6: ${subscriber} got ${show(row)} before it was asked for`]
    }
    return []
  })

/** I10: no row changes or goes. */
const changeViolations = ({ earlier, rows }: Evidence): ReadonlyArray<string> =>
  earlier.flatMap((row, i) => rows[i]?.digest === row.digest ? [] : [`I10: ${show(row)} became ${show(rows[i])}`])

/** Everything that does not hold. */
export const violations = (evidence: Evidence): ReadonlyArray<string> => {
  const log = new Log(evidence, commandsOf(evidence))
  return [
    ...Invariants.orderViolations(evidence.rows),
    ...Invariants.commandViolations(evidence.rows),
    ...rowViolations(log),
    ...appendViolations(log),
    ...readViolations(log, evidence),
    ...deliveryViolations(log, evidence),
    ...changeViolations(evidence)
  ]
}
