/**
 * The outbox in memory, which shares its log's commits.
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Outbox from "../Outbox.ts"
import type { RecordedEvent } from "../RecordedEvent.ts"
import { storedJson } from "./storedJson.ts"

interface Row extends Outbox.StoredEntry {
  /** From when on it may be claimed: when it is due, or the end of its lease. */
  readonly freeAt: number
  readonly token: bigint
}

type DeadRow = Row & Outbox.DeadEntry

/** The entries of a log: those to be done sorted by when they may be claimed, the dead ones by their place. */
export interface Entries {
  readonly pending: Array<Row>
  readonly dead: Array<DeadRow>
  /** The pending ones. */
  readonly byId: Map<string, Row>
}

/** An outbox without entries. */
export const empty = (): Entries => ({ pending: [], dead: [], byId: new Map() })

type Order<A> = (a: A, b: A) => number

const byPlace: Order<Outbox.EntryId> = (a, b) =>
  a.globalPosition === b.globalPosition ? a.index - b.index : a.globalPosition < b.globalPosition ? -1 : 1

const byTime: Order<Row> = (a, b) => a.freeAt - b.freeAt || byPlace(a, b)

/** Where an element stands in a sorted array, or would. */
const placeOf = <A>(sorted: ReadonlyArray<A>, element: A, order: Order<A>): number => {
  let from = 0
  let to = sorted.length
  while (from < to) {
    const middle = (from + to) >> 1
    if (order(sorted[middle]!, element) < 0) from = middle + 1
    else to = middle
  }
  return from
}

const insert = <A>(sorted: Array<A>, element: A, order: Order<A>): void => {
  sorted.splice(placeOf(sorted, element, order), 0, element)
}

const remove = <A>(sorted: Array<A>, element: A, order: Order<A>): void => {
  sorted.splice(placeOf(sorted, element, order), 1)
}

const add = ({ byId, pending }: Entries, row: Row): void => {
  insert(pending, row, byTime)
  byId.set(Outbox.idempotencyKey(row), row)
}

const take = ({ byId, pending }: Entries, row: Row): void => {
  remove(pending, row, byTime)
  byId.delete(Outbox.idempotencyKey(row))
}

/** What is kept of entries; it throws when JSON cannot write one, before anything is stored. */
export const prepare = (entries: ReadonlyArray<Outbox.OutboxEntry> = []): ReadonlyArray<Outbox.OutboxEntry> =>
  entries.map((entry) => ({ ...entry, body: storedJson(entry.body) }))

/** Stores what was prepared, as of the command whose first event this is. */
export const store = (
  entries: Entries,
  wanted: ReadonlyArray<Outbox.OutboxEntry>,
  { commandId, correlationId, globalPosition, recordedAt, streamId }: RecordedEvent
): void =>
  wanted.forEach(({ body, delay = 0, key, kind }, index) => {
    const dueAt = recordedAt + delay
    const of = { globalPosition, index, streamId, commandId, correlationId }
    add(entries, { ...of, kind, key, body, attempt: 0, dueAt, error: undefined, freeAt: dueAt, token: 0n })
  })

const stored = <R extends Row>({ freeAt: _freeAt, token: _token, ...entry }: R): Omit<R, "freeAt" | "token"> => entry

const claim = (entries: Entries, { kinds, lease, limit }: Outbox.ClaimOptions, now: number): Array<Outbox.Claim> => {
  const wanted = kinds === undefined ? undefined : new Set(kinds)
  const found: Array<Row> = []
  for (const row of entries.pending) {
    if (row.freeAt > now || found.length === limit) break
    if (wanted === undefined || wanted.has(row.kind)) found.push(row)
  }
  found.sort((a, b) => a.dueAt - b.dueAt || byPlace(a, b))
  return found.map((row) => {
    const claimed = { ...row, attempt: row.attempt + 1, token: row.token + 1n }
    take(entries, row)
    add(entries, { ...claimed, freeAt: now + Duration.toMillis(lease) })
    return Object.freeze({ ...stored(claimed), token: claimed.token })
  })
}

/** Ends the claims that hold. */
const end = (
  entries: Entries,
  claims: ReadonlyArray<Outbox.ClaimRef>,
  ended: (row: Row) => void
): Effect.Effect<void, Outbox.StaleClaim> => {
  const stale: Array<Outbox.EntryId> = []
  for (const { globalPosition, index, token } of claims) {
    const row = entries.byId.get(Outbox.idempotencyKey({ globalPosition, index }))
    if (row?.token === token) {
      take(entries, row)
      ended(row)
    } else {
      stale.push({ globalPosition, index })
    }
  }
  return stale.length === 0 ? Effect.void : Effect.fail(new Outbox.StaleClaim({ entries: stale }))
}

/** Takes these out of the dead ones, and says how many there were. */
const bury = ({ dead }: Entries, ids: ReadonlyArray<Outbox.EntryId>, taken: (row: DeadRow) => void): number => {
  let count = 0
  for (const id of ids) {
    const at = placeOf<Outbox.EntryId>(dead, id, byPlace)
    const row = dead[at]
    if (row === undefined || byPlace(row, id) !== 0) continue
    dead.splice(at, 1)
    taken(row)
    count++
  }
  return count
}

const counts = ({ dead, pending }: Entries, now: number): ReadonlyArray<Outbox.Counts> => {
  const all = new Map<string, Record<Exclude<keyof Outbox.Counts, "kind">, number>>()
  const of = (kind: string) => {
    const known = all.get(kind) ?? { due: 0, delayed: 0, claimed: 0, dead: 0 }
    all.set(kind, known)
    return known
  }
  for (const { dueAt, freeAt, kind } of pending) {
    of(kind)[freeAt <= now ? "due" : freeAt > dueAt ? "claimed" : "delayed"]++
  }
  for (const { kind } of dead) of(kind).dead++
  return [...all].map(([kind, numbers]) => Object.assign(numbers, { kind })).toSorted((a, b) =>
    a.kind < b.kind ? -1 : 1
  )
}

const at = <A, E = never>(body: (now: number) => Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.clockWith((clock: Clock.Clock) => body(clock.currentTimeMillisUnsafe()))

/** The outbox of these entries. */
export const service = (entries: Entries): Outbox.Service =>
  Outbox.make({
    claim: (options) => at((now) => Effect.sync(() => claim(entries, options, now))),
    complete: (claims) => Effect.suspend(() => end(entries, claims, () => {})),
    retry: (given, { after, error }) =>
      at((now) =>
        end(entries, [given], (row) => {
          const dueAt = now + Duration.toMillis(after)
          add(entries, { ...row, token: row.token + 1n, error, dueAt, freeAt: dueAt })
        })
      ),
    park: (given, error) =>
      at((now) =>
        end(entries, [given], (row) =>
          insert(entries.dead, { ...row, token: row.token + 1n, error, parkedAt: now }, byPlace))
      ),
    dead: ({ after, limit }) =>
      Effect.sync(() => {
        const from = after === undefined
          ? 0
          : placeOf<Outbox.EntryId>(entries.dead, { ...after, index: after.index + 1 }, byPlace)
        return entries.dead.slice(from, from + limit).map(({ freeAt: _freeAt, token: _token, ...entry }) =>
          entry
        )
      }),
    revive: (ids) =>
      at((now) =>
        Effect.sync(() =>
          bury(entries, ids, ({ parkedAt: _parkedAt, ...row }) =>
            add(entries, { ...row, attempt: 0, token: row.token + 1n, dueAt: now, freeAt: now }))
        )
      ),
    discard: (ids) =>
      Effect.sync(() =>
        bury(entries, ids, () => {})
      ),
    counts: at((now) =>
      Effect.sync(() => counts(entries, now))
    )
  })
