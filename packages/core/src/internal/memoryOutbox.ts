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
  readonly ordered: boolean
  /** Who has it, or had it when its lease ran out; nobody, when it was given back or never claimed. */
  readonly worker: string | undefined
}

type DeadRow = Row & Outbox.DeadEntry

/** The entries of a log: those to be done sorted by when they may be claimed, the dead ones by their place. */
export interface Entries {
  readonly pending: Array<Row>
  readonly dead: Array<DeadRow>
  /** The pending ones. */
  readonly byId: Map<string, Row>
  /** The pending ones of each stream, by their place. */
  readonly byStream: Map<string, Array<Row>>
}

/** An outbox without entries. */
export const empty = (): Entries => ({ pending: [], dead: [], byId: new Map(), byStream: new Map() })

type Order<A> = (a: A, b: A) => number

const { byPlace } = Outbox

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

const add = ({ byId, byStream, pending }: Entries, row: Row): void => {
  insert(pending, row, byTime)
  byId.set(Outbox.idempotencyKey(row), row)
  const ofStream = byStream.get(row.streamId)
  if (ofStream === undefined) byStream.set(row.streamId, [row])
  else insert(ofStream, row, byPlace)
}

const take = ({ byId, byStream, pending }: Entries, row: Row): void => {
  remove(pending, row, byTime)
  byId.delete(Outbox.idempotencyKey(row))
  const ofStream = byStream.get(row.streamId)!
  if (ofStream.length === 1) byStream.delete(row.streamId)
  else remove(ofStream, row, byPlace)
}

const find = ({ byId }: Entries, { globalPosition, index }: Outbox.EntryId): Row | undefined =>
  byId.get(Outbox.idempotencyKey({ globalPosition, index }))

/** What is kept of entries; it throws when JSON cannot write one, before anything is stored. */
export const prepare = (entries: ReadonlyArray<Outbox.OutboxEntry> = []): ReadonlyArray<Outbox.OutboxEntry> =>
  entries.map((entry) => ({ ...entry, body: storedJson(entry.body) }))

/** Stores what was prepared, as of the command whose first event this is. */
export const store = (
  entries: Entries,
  wanted: ReadonlyArray<Outbox.OutboxEntry>,
  { commandId, correlationId, globalPosition, recordedAt, streamId }: RecordedEvent
): void =>
  wanted.forEach(({ body, delay = 0, key, kind, ordered = false }, index) => {
    const dueAt = recordedAt + delay
    const of = { globalPosition, index, streamId, commandId, correlationId, kind, key, body, ordered, dueAt }
    add(entries, { ...of, attempt: 0, error: undefined, revivals: 0, freeAt: dueAt, token: 0n, worker: undefined })
  })

/** The claims among these that hold no more. */
export const stale = (
  entries: Entries,
  claims: ReadonlyArray<Outbox.ClaimRef> = []
): Outbox.StaleClaim | undefined => {
  const lost = claims.filter((claim) => find(entries, claim)?.token !== claim.token)
  return lost.length === 0 ? undefined : staleClaim(lost)
}

const staleClaim = (claims: ReadonlyArray<Outbox.EntryId>): Outbox.StaleClaim =>
  new Outbox.StaleClaim({ entries: claims.map(({ globalPosition, index }) => ({ globalPosition, index })) })

/** Ends claims that hold. */
export const settle = (entries: Entries, settlements: ReadonlyArray<Outbox.Settlement> = [], now: number): void => {
  for (const settlement of settlements) {
    const row = find(entries, settlement)
    if (row === undefined) continue
    take(entries, row)
    if (settlement.deadBecause !== undefined) kill(entries, row, settlement.deadBecause, now)
  }
}

/** Removes what an append cancels of its first stream. */
export const cancelOf = (
  entries: Entries,
  streamId: string,
  cancels: ReadonlyArray<Outbox.Cancellation> = []
): void => {
  const isMeant = ({ key }: Row): boolean =>
    key !== undefined &&
    cancels.some((cancel) => "key" in cancel ? cancel.key === key : key.startsWith(cancel.prefix))
  for (const row of (entries.byStream.get(streamId) ?? []).filter(isMeant)) take(entries, row)
}

/** Removes all entries of a stream, dead ones too. */
export const forget = (entries: Entries, streamId: string): void => {
  for (const row of entries.byStream.get(streamId)?.slice() ?? []) take(entries, row)
  for (const row of entries.dead.filter((dead) => dead.streamId === streamId)) remove(entries.dead, row, byPlace)
}

const kill = ({ dead }: Entries, row: Row, error: string, now: number): void =>
  insert(dead, { ...row, worker: undefined, token: row.token + 1n, error, parkedAt: now }, byPlace)

const stored = <R extends Row>(
  { freeAt: _freeAt, ordered: _ordered, token: _token, worker: _worker, ...entry }: R
): Omit<R, "freeAt" | "ordered" | "token" | "worker"> => entry

let anonymous = 0

interface Claiming {
  readonly wants: (kind: string) => boolean
  readonly worker: string
  readonly taken: ReadonlySet<Row>
  readonly now: number
}

/** Whether an ordered entry must wait for one before it: that was not begun, or is with somebody else. */
const isBlocked = ({ byStream }: Entries, row: Row, { now, taken, wants, worker }: Claiming): boolean => {
  for (const before of byStream.get(row.streamId)!) {
    if (before === row) return false
    if (!before.ordered || taken.has(before)) continue
    if (before.worker === undefined) {
      if (before.attempt === 0 && before.freeAt <= now && wants(before.kind)) return true
    } else if (before.worker !== worker || before.freeAt <= now) return true
  }
  return false
}

const claim = (
  entries: Entries,
  { kinds, lease, limit, worker = `anonymous ${anonymous++}` }: Outbox.ClaimOptions,
  now: number
): Array<Outbox.Claim> => {
  const wanted = kinds === undefined ? undefined : new Set(kinds)
  const wants = (kind: string) => wanted === undefined || wanted.has(kind)
  const taken = new Set<Row>()
  for (const row of entries.pending) {
    if (row.freeAt > now || taken.size === limit) break
    if (wants(row.kind) && !(row.ordered && isBlocked(entries, row, { wants, worker, taken, now }))) taken.add(row)
  }
  return [...taken].toSorted((a, b) => a.dueAt - b.dueAt || byPlace(a, b)).map((row) => {
    const claimed = { ...row, worker, attempt: row.attempt + 1, token: row.token + 1n }
    take(entries, row)
    add(entries, { ...claimed, freeAt: now + Duration.toMillis(lease) })
    return Object.freeze({ ...stored(claimed), token: claimed.token })
  })
}

/** Does something with each claim that holds. */
const each = (
  entries: Entries,
  claims: ReadonlyArray<Outbox.ClaimRef>,
  body: (row: Row) => void
): Effect.Effect<void, Outbox.StaleClaim> => {
  const lost: Array<Outbox.EntryId> = []
  for (const claim of claims) {
    const row = find(entries, claim)
    if (row?.token === claim.token) {
      take(entries, row)
      body(row)
    } else {
      lost.push(claim)
    }
  }
  return lost.length === 0 ? Effect.void : Effect.fail(staleClaim(lost))
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
  for (const { freeAt, kind, worker } of pending) {
    of(kind)[freeAt <= now ? "due" : worker === undefined ? "delayed" : "claimed"]++
  }
  for (const { kind } of dead) of(kind).dead++
  return [...all].map(([kind, numbers]) => Object.assign(numbers, { kind })).toSorted((a, b) =>
    a.kind < b.kind ? -1 : 1
  )
}

const statusOf = ({ attempt, freeAt, worker }: Row, now: number): Outbox.Status => {
  if (worker !== undefined) return freeAt > now ? "running" : "due"
  if (attempt > 0) return "retrying"
  return freeAt > now ? "waiting" : "due"
}

const list = (
  entries: Entries,
  { after, kinds, limit, status, streamId }: Outbox.ListOptions,
  now: number
): ReadonlyArray<Outbox.ListedEntry> => {
  const isMeant = (entry: Outbox.ListedEntry): boolean =>
    (status === undefined || entry.status === status) &&
    (streamId === undefined || entry.streamId === streamId) &&
    (kinds === undefined || kinds.includes(entry.kind)) &&
    (after === undefined || byPlace(entry, after) > 0)
  return [
    ...entries.pending.map((row) => ({ ...stored(row), status: statusOf(row, now) })),
    ...entries.dead.map(({ parkedAt: _parkedAt, ...row }) => ({ ...stored(row), status: "dead" as const }))
  ].filter(isMeant).toSorted(byPlace).slice(0, limit)
}

const agenda = ({ pending }: Entries, kinds: ReadonlyArray<string> | undefined, now: number): Outbox.Agenda => {
  const wanted = kinds === undefined ? pending : pending.filter(({ kind }) => kinds.includes(kind))
  const oldest = wanted.find(({ freeAt }) => freeAt <= now)
  const next = wanted.find(({ freeAt }) => freeAt > now)
  return {
    overdue: oldest === undefined ? undefined : now - oldest.freeAt,
    next: next === undefined ? undefined : next.freeAt - now
  }
}

const at = <A, E = never>(body: (now: number) => Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.clockWith((clock: Clock.Clock) => body(clock.currentTimeMillisUnsafe()))

const atOnce = <A>(body: (now: number) => A): Effect.Effect<A> => at((now) => Effect.sync(() => body(now)))

/** The outbox of these entries. */
export const service = (entries: Entries): Outbox.Service =>
  Outbox.make({
    claim: (options) => atOnce((now) => claim(entries, options, now)),
    extend: (claims, lease) =>
      at((now) => each(entries, claims, (row) => add(entries, { ...row, freeAt: now + Duration.toMillis(lease) }))),
    complete: (claims) => Effect.suspend(() => each(entries, claims, () => {})),
    release: (claims) =>
      at((now) =>
        Effect.ignore(each(entries, claims, (row) =>
          add(entries, {
            ...row,
            worker: undefined,
            attempt: row.attempt - 1,
            token: row.token + 1n,
            dueAt: now,
            freeAt: now
          })))
      ),
    retry: (given, { after, error }) =>
      at((now) =>
        each(entries, [given], (row) => {
          const dueAt = now + Duration.toMillis(after)
          add(entries, { ...row, worker: undefined, token: row.token + 1n, error, dueAt, freeAt: dueAt })
        })
      ),
    park: (given, error) => at((now) => each(entries, [given], (row) => kill(entries, row, error, now))),
    dead: ({ after, limit }) =>
      Effect.sync(() => {
        const from = after === undefined
          ? 0
          : placeOf<Outbox.EntryId>(entries.dead, { ...after, index: after.index + 1 }, byPlace)
        return entries.dead.slice(from, from + limit).map((row) => stored(row))
      }),
    list: (options) => atOnce((now) => list(entries, options, now)),
    agenda: (kinds) => atOnce((now) => agenda(entries, kinds, now)),
    revive: (ids) =>
      atOnce((now) =>
        bury(entries, ids, ({ parkedAt: _parkedAt, ...row }) =>
          add(entries, {
            ...row,
            attempt: 0,
            revivals: row.revivals + 1,
            token: row.token + 1n,
            dueAt: now,
            freeAt: now
          }))
      ),
    discard: (ids) => Effect.sync(() => bury(entries, ids, () => {})),
    cancel: (ids) =>
      Effect.sync(() => {
        const rows = ids.flatMap((id) => find(entries, id) ?? [])
        for (const row of rows) take(entries, row)
        return rows.length
      }),
    counts: atOnce((now) => counts(entries, now))
  })
