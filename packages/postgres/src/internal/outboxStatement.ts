/**
 * The entries of a group's outbox as the parameters of the database's `enqueue` function.
 */
import type { OutboxEntry } from "@composable-ts/core/Outbox"
import * as PgTypes from "@effect/sql-pg/PgTypes"

/** An entry, ready to be sent as often as it takes. */
export interface Prepared {
  readonly kind: string
  readonly key: string | null
  readonly delay: number
  readonly body: string
}

/** Serialises a command's entries; throws when JSON cannot write one. */
export const prepare = (entries: ReadonlyArray<OutboxEntry> | undefined): ReadonlyArray<Prepared> | undefined =>
  entries?.map(({ body, delay = 0, key = null, kind }) => ({ kind, key, delay, body: JSON.stringify(body) }))

/** How many parameters the append has; those of the entries follow them. */
const parametersOf = (append: string): number =>
  Math.max(...[...append.matchAll(/\$(\d+)/g)].map(([, nr]) => Number(nr)))

/**
 * The statement of a group's append that stores the entries of what it appends, too. The append's own parameters stay
 * as they are; `$3` are the ids of its commands.
 */
export const after = (schema: string, append: string): string => {
  const first = parametersOf(append) + 1
  const types = ["int[]", "int[]", "text[]", "text[]", "int8[]", "text[]"].map((type, i) => `$${first + i}::${type}`)
  return `${append} AS appended, LATERAL ${schema}.enqueue(appended.outcomes, $3::text[], ${
    types.join(", ")
  }) AS stored`
}

/** In the order of the function's arguments. */
export const parameters = (
  commands: ReadonlyArray<{ readonly outbox: ReadonlyArray<Prepared> | undefined }>
): ReadonlyArray<unknown> => {
  const nr: Array<number> = []
  const index: Array<number> = []
  const kind: Array<string> = []
  const key: Array<string | null> = []
  const delay: Array<bigint> = []
  const body: Array<string> = []
  for (const [i, { outbox = [] }] of commands.entries()) {
    for (const [place, entry] of outbox.entries()) {
      nr.push(i + 1)
      index.push(place)
      kind.push(entry.kind)
      key.push(entry.key)
      delay.push(BigInt(entry.delay))
      body.push(entry.body)
    }
  }
  const { int4Array, int8Array, textArray } = PgTypes.OID
  return [[int4Array, nr], [int4Array, index], [textArray, kind], [textArray, key], [int8Array, delay], [
    textArray,
    body
  ]]
    .map(([oid, value]) => ({ [PgTypes.ParameterTypeId]: PgTypes.ParameterTypeId, oid, value }))
}
