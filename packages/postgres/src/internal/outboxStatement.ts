/**
 * What a group of commands does with the outbox, as the parameters of the database's `append_with_outbox` function.
 */
import type { AppendContext } from "@composable-ts/core/EventStore"
import type { Cancellation, OutboxEntry, Settlement } from "@composable-ts/core/Outbox"
import * as PgTypes from "@effect/sql-pg/PgTypes"

/** An entry, ready to be sent as often as it takes. */
export interface Prepared {
  readonly kind: string
  readonly key: string | null
  readonly delay: number
  readonly ordered: boolean
  readonly body: string
}

/** What a command does with the outbox. */
export interface Doings {
  readonly entries: ReadonlyArray<Prepared>
  readonly settles: ReadonlyArray<Settlement>
  readonly cancels: ReadonlyArray<Cancellation>
}

const prepared = ({ body, delay = 0, key, kind, ordered = false }: OutboxEntry): Prepared => ({
  kind,
  key: key ?? null,
  delay,
  ordered,
  body: JSON.stringify(body)
})

/** Serialises what a command does with the outbox, if it does anything; throws when JSON cannot write an entry. */
export const prepare = ({ cancels = [], outbox = [], settles = [] }: AppendContext): Doings | undefined =>
  outbox.length + settles.length + cancels.length === 0
    ? undefined
    : { entries: outbox.map(prepared), settles, cancels }

/** Of claims, cancellations and entries. */
const types = "int[] int8[] int[] int8[] text[] int[] text[] bool[] int[] int[] text[] text[] int8[] bool[] text[]"
  .split(" ")

/** How these parameters are written in a statement, the first of which has this number. */
export const placeholders = (first: number): string => types.map((type, i) => `$${first + i}::${type}`).join(", ")

type Column = Array<number | bigint | string | boolean | null>

const { boolArray, int4Array, int8Array, textArray } = PgTypes.OID

const oidOf: Readonly<Record<string, number>> = {
  "int[]": int4Array,
  "int8[]": int8Array,
  "text[]": textArray,
  "bool[]": boolArray
}

const oids = types.map((type) => oidOf[type]!)

/** In the order of the function's arguments. */
export const parameters = (
  commands: ReadonlyArray<{ readonly outbox: Doings | undefined }>
): ReadonlyArray<PgTypes.Parameter> => {
  const columns = oids.map((): Column => [])
  const add = (from: number, ...values: Column) => values.forEach((value, i) => columns[from + i]!.push(value))
  commands.forEach(({ outbox }, i) => {
    if (outbox === undefined) return
    const nr = i + 1
    for (const { deadBecause = null, globalPosition, index, token } of outbox.settles) {
      add(0, nr, globalPosition, index, token, deadBecause)
    }
    for (const cancel of outbox.cancels) {
      add(5, nr, "key" in cancel ? cancel.key : cancel.prefix, "prefix" in cancel)
    }
    outbox.entries.forEach(({ body, delay, key, kind, ordered }, place) =>
      add(8, nr, place, kind, key, BigInt(delay), ordered, body)
    )
  })
  return columns.map((value, i) => ({ [PgTypes.ParameterTypeId]: PgTypes.ParameterTypeId, oid: oids[i]!, value }))
}
