/**
 * What must hold of the log after every test, whatever happened in it, found by reading the table directly. The names
 * are those of the fault plan.
 */
import type { RecordedEvent } from "@composable-ts/core/RecordedEvent"
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import type { SqlClient, SqlError } from "effect/sql"
import type { Entry, History } from "./History.ts"

/** A row of the log. */
export interface Row {
  readonly position: bigint
  readonly streamId: string
  readonly version: number
  readonly commandId: string
  readonly commandSize: number | null
}

/** The whole log, in order of position. */
export const readRows = (
  sql: SqlClient.SqlClient,
  schema: string
): Effect.Effect<ReadonlyArray<Row>, SqlError.SqlError> =>
  sql<Row>`SELECT global_position AS position, stream_id AS "streamId", version, command_id AS "commandId",
    command_size AS "commandSize" FROM ${sql(schema)}.events ORDER BY global_position`

/** I3, I4, and the log's own promise: positions from 1 without gaps. */
export const orderViolations = (rows: ReadonlyArray<Row>): ReadonlyArray<string> => {
  const violations: Array<string> = []
  const next = new Map<string, number>()
  rows.forEach(({ position, streamId, version }, i) => {
    if (position !== BigInt(i + 1)) violations.push(`position ${position} stands in place ${i + 1}`)
    const expected = next.get(streamId) ?? 0
    if (version !== expected) {
      violations.push(`I3/I4: ${streamId} has version ${version} at position ${position}, where ${expected} is due`)
    }
    next.set(streamId, version + 1)
  })
  return violations
}

/** A command's events stand together, its first says how many they are, and no command stands there twice. */
export const commandViolations = (rows: ReadonlyArray<Row>): ReadonlyArray<string> => {
  const violations: Array<string> = []
  const seen = new Set<string>()
  for (let i = 0; i < rows.length;) {
    const { commandId, commandSize, position } = rows[i]!
    if (seen.has(commandId)) violations.push(`I1: command ${commandId} is there again at ${position}`)
    seen.add(commandId)
    let size = 1
    while (rows[i + size]?.commandId === commandId && rows[i + size]?.commandSize === null) size++
    if (size !== commandSize) violations.push(`command ${commandId} says ${commandSize} events and has ${size}`)
    i += size
  }
  return violations
}

const describe = ({ appends, commandId, outcome }: Entry): string =>
  `${outcome._tag} command ${commandId} of ${appends.map(({ events, streamId }) => `${events.length} to ${streamId}`)}`

/** I1, I2, I5: each client was told the truth. */
export const historyViolations = (rows: ReadonlyArray<Row>, history: History): ReadonlyArray<string> => {
  const stored = new Map<string, Array<Row>>()
  for (const row of rows) {
    const same = stored.get(row.commandId)
    if (same === undefined) stored.set(row.commandId, [row])
    else same.push(row)
  }
  const acknowledged = new Set(
    history.flatMap(({ commandId, outcome }) => outcome._tag === "Stored" ? [commandId] : [])
  )
  return history.flatMap((entry): ReadonlyArray<string> => {
    const { appends, commandId, outcome } = entry
    const there = stored.get(commandId) ?? []
    const asked = appends.flatMap(({ events, streamId }) => events.map(() => streamId))
    const whole = asked.length === there.length && asked.every((streamId, i) => there[i]!.streamId === streamId)
    switch (outcome._tag) {
      case "Stored": {
        if (!whole) return [`I1: ${describe(entry)} has ${there.length} rows`]
        let last = -1
        return appends.flatMap(({ events }, i) => {
          const row = there[last += events.length]!
          const told = outcome.results[i]!
          return told.version === row.version && told.globalPosition === row.position
            ? []
            : [
              `I5: ${
                describe(entry)
              } was told ${told.version}@${told.globalPosition}, not ${row.version}@${row.position}`
            ]
        })
      }
      case "Refused":
        return there.length === 0 || acknowledged.has(commandId) ? [] : [`I2: ${describe(entry)} is there`]
      case "Unknown":
        return there.length === 0 || whole ? [] : [`I2: ${describe(entry)} is there in part`]
    }
  })
}

/** I6: a subscriber got every committed event once, in order. */
export const deliveryViolations = (
  rows: ReadonlyArray<Row>,
  delivered: ReadonlyArray<RecordedEvent>
): ReadonlyArray<string> => {
  const violations: Array<string> = []
  for (let i = 0; i < Math.max(rows.length, delivered.length); i++) {
    const row = rows[i]
    const event = delivered[i]
    if (
      row?.position !== event?.globalPosition || row?.streamId !== event?.streamId || row?.version !== event?.version
    ) {
      violations.push(`I6: delivery ${i + 1} was position ${event?.globalPosition}, not ${row?.position}`)
      break
    }
  }
  return violations
}

/** Fails with every violation in the log of this schema; a test's history may be left out where it has none. */
export const assertSound = (
  sql: SqlClient.SqlClient,
  schema: string,
  history: History = []
): Effect.Effect<ReadonlyArray<Row>, SqlError.SqlError> =>
  Effect.map(readRows(sql, schema), (rows) => {
    assert.deepStrictEqual(
      [...orderViolations(rows), ...commandViolations(rows), ...historyViolations(rows, history)],
      []
    )
    return rows
  })
