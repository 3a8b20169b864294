/**
 * One read of the log for all who follow it in a process, from the same event store.
 *
 * A page of the log is read for whoever asks first and for all *near* it: those who stand at the same position, or so
 * little behind that they will ask for the same page soon ({@link reach}). It has the events of all their names, and each
 * picks its own. It is kept in memory until all near it have passed it; the window has a bound in pages, in bytes and in
 * time, and who falls out of it reads for itself. Who has nobody near reads for itself, too, and has the database filter:
 * a rebuild, or a reader of rare events that runs ahead. So nobody reads what no one near it needs, and to share never
 * costs more than what the nearest other must read anyhow.
 *
 * Pages are taken whole, by the position behind which they begin, so they say rightly which events stand at their ends;
 * small ones that follow one another are taken as one. Who comes from behind reads up to where the next page begins, and
 * takes that: no gap and no duplicate at the seam.
 *
 * There is one listener for all. Each page says as of which wake-up it was read, so that who waits behind it misses none.
 */
import type { LogPage, ReadAllOptions, Service } from "@composable-ts/core/EventStore"
import type { EventStoreError, LogReadError } from "@composable-ts/core/EventStoreError"
import * as LogRead from "@composable-ts/core/LogRead"
import { nameOf, type RecordedEvent } from "@composable-ts/core/RecordedEvent"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as RcRef from "effect/RcRef"
import * as Scope from "effect/Scope"
import { throughOutages } from "./failures.ts"

/** Which events a reader wants. */
export type Wanted = Pick<ReadAllOptions, "names" | "partition">

/** A page, and as of which wake-up it was read. */
export interface Page extends LogPage {
  readonly asOf: number
}

/** One who reads the log. */
export interface Reader {
  /** The events behind a position that this reader wants. */
  readonly read: (after: bigint) => Effect.Effect<Page, LogReadError>
  /** Waits until something may have been appended that a page does not tell of. */
  readonly appendedSince: (page: Page) => Effect.Effect<void>
}

/** How many positions of the log are read at once, at the most. */
export const pageSize = 2_000

/** How many positions behind a page a reader counts as near it. */
export const reach = 8n * BigInt(pageSize)

/** How many pages the window holds at the most. */
export const mostPages = 32

/** How many bytes the events of the window have as JSON at the most, by an estimate. */
export const mostBytes = 32 * 1024 * 1024

/** For how long a page is kept at the most, in milliseconds: what was erased meanwhile does not stay for long. */
const longest = 10_000

/** A reader, and where it stands. */
interface Follower {
  readonly wanted: Wanted
  readonly names: ReadonlySet<string> | undefined
  /** Behind which position it has read last. */
  at: bigint | undefined
}

/** What was asked of the log. */
interface Range {
  readonly after: bigint
  /** The last position of it, or one behind the log's end. */
  readonly end: bigint
  readonly names: ReadonlySet<string> | undefined
  readonly partition: Wanted["partition"]
}

interface Kept extends Range {
  readonly page: Page
  readonly bytes: number
  readonly since: number
  /** The partitions of its events' streams, by the number of partitions. */
  readonly places: Map<number, ReadonlyArray<number>>
}

interface Flight extends Range {
  readonly landed: Deferred.Deferred<Kept, LogReadError>
}

/** The window of an event store. */
interface Window {
  readonly join: (wanted: Wanted) => Effect.Effect<Reader, never, Scope.Scope>
}

const samePartition = (a: Wanted["partition"], b: Wanted["partition"]): boolean =>
  a === b || (a !== undefined && b !== undefined && a.index === b.index && a.count === b.count)

const isSubset = (some: ReadonlySet<string> | undefined, all: ReadonlySet<string> | undefined): boolean =>
  all === undefined || (some !== undefined && [...some].every((name) => all.has(name)))

/** A few events speak for all: to measure each would cost more than to read it. */
const bytesOf = (events: ReadonlyArray<RecordedEvent>): number => {
  const step = Math.max(1, Math.floor(events.length / 16))
  let [measured, bytes] = [0, 0]
  for (let i = 0; i < events.length; i += step) {
    const { data, metadata } = events[i]!
    bytes += JSON.stringify(data).length + JSON.stringify(metadata).length + 400
    measured++
  }
  return measured === 0 ? 0 : Math.ceil(bytes / measured * events.length)
}

/** Pages that follow one another, as one. */
const joined = (first: Page, second: Page): Page | undefined =>
  second.previousEventId === first.lastEventId
    ? { ...second, events: [...first.events, ...second.events], previousEventId: first.previousEventId }
    : undefined

/** Opens a window on an event store, for as long as the scope is open. */
const open = (events: Service): Effect.Effect<Window, EventStoreError, Scope.Scope> =>
  Effect.gen(function*() {
    const { partitionOf } = events
    const scope = yield* Effect.scope
    const appended = yield* throughOutages("Readers of the log")(events.listen)
    const sharedRead = LogRead.inLess(events.readAll)
    const followers = new Set<Follower>()
    const flights = new Set<Flight>()
    /** In order of position, oldest first among those that overlap. */
    let kept: ReadonlyArray<Kept> = []

    let wakeUps = 0
    let waiting = 0
    const someoneWaits = Latch.makeUnsafe()
    let woken = Latch.makeUnsafe()
    yield* Effect.forkScoped(Effect.forever(Effect.gen(function*() {
      yield* someoneWaits.await
      yield* appended
      wakeUps++
      const before = woken
      woken = Latch.makeUnsafe()
      before.openUnsafe()
    })))

    const appendedSince: Reader["appendedSince"] = ({ asOf }) =>
      Effect.suspend(() => {
        if (wakeUps > asOf) return Effect.void
        // This wake-up, and not the next: to open may let it happen at once, before anybody has begun to wait.
        const { await: wakeUp } = woken
        waiting++
        someoneWaits.openUnsafe()
        return Effect.ensuring(
          wakeUp,
          Effect.sync(() => {
            if (--waiting === 0) someoneWaits.closeUnsafe()
          })
        )
      })

    /** Whether all that a follower wants of a range is in it. */
    const covers = (range: Range, { names, wanted: { partition } }: Follower): boolean =>
      isSubset(names, range.names) && (
        samePartition(range.partition, partition) ||
        (range.partition === undefined && partition !== undefined && partitionOf !== undefined)
      )

    const isNear = ({ at }: Follower, after: bigint): boolean => at !== undefined && at <= after && after - at <= reach

    /** Lets go of what nobody near needs any more, and of what is too much, too old, or the furthest behind. */
    const tidy = (now: number) => {
      const needed = kept.filter(({ after, page, since }) => {
        if (now - since > longest) return false
        for (const follower of followers) if (isNear(follower, after) && follower.at! < page.position) return true
        return false
      })
      let bytes = needed.reduce((sum, page) => sum + page.bytes, 0)
      while (needed.length > mostPages || bytes > mostBytes) bytes -= needed.shift()!.bytes
      kept = needed
    }

    /** What a follower wants of a page that covers it. */
    const pick = (from: Kept, { names, wanted: { partition } }: Follower): Page => {
      const { page, places } = from
      const isAll = names === undefined || from.names === names
      if (isAll && samePartition(from.partition, partition)) return page
      const placesOf = (count: number): ReadonlyArray<number> => {
        const known = places.get(count) ?? page.events.map(({ streamId }) => partitionOf!(streamId, count))
        places.set(count, known)
        return known
      }
      const place = samePartition(from.partition, partition) || partition === undefined
        ? undefined
        : placesOf(partition.count)
      const events = page.events.filter((event, i) =>
        (names === undefined || names.has(nameOf(event.type))) && (place === undefined || place[i] === partition?.index)
      )
      return { ...page, events }
    }

    /** What the window has behind a position for a follower. */
    const find = (follower: Follower, after: bigint): Page | undefined => {
      let found: Page | undefined
      let at = after
      while (true) {
        const next = kept.find((page) =>
          page.after === at && page.page.position - after <= BigInt(pageSize) && covers(page, follower)
        )
        if (next === undefined) return found
        const page = pick(next, follower)
        const whole = found === undefined ? page : joined(found, page)
        if (whole === undefined) return found
        found = whole
        at = page.position
      }
    }

    /** How far to read behind a position: no further than to where others begin or end. */
    const limitAt = (after: bigint): number => {
      let end = after + BigInt(pageSize)
      const stopAt = (position: bigint) => {
        if (position > after && position < end) end = position
      }
      for (const { after, page: { position } } of kept) {
        stopAt(after)
        stopAt(position)
      }
      for (const flight of flights) {
        stopAt(flight.after)
        stopAt(flight.end)
      }
      return Number(end - after)
    }

    /** What to read for all of these at once. */
    const union = (near: ReadonlyArray<Follower>): Pick<Range, "names" | "partition"> => {
      const [{ names, wanted: { partition } }] = near as readonly [Follower]
      const isSame = near.every((each) => samePartition(each.wanted.partition, partition))
      return {
        names: near.some((each) => each.names === undefined)
          ? undefined
          : near.every((each) => isSubset(each.names, names))
          ? names
          : new Set(near.flatMap((each) => [...each.names!])),
        partition: isSame ? partition : undefined
      }
    }

    /** Reads for all who are near. */
    const depart = (near: ReadonlyArray<Follower>, after: bigint): Effect.Effect<Flight> =>
      Effect.gen(function*() {
        const limit = limitAt(after)
        const range: Range = { after, end: after + BigInt(limit), ...union(near) }
        const flight: Flight = { ...range, landed: Deferred.makeUnsafe() }
        const asOf = wakeUps
        const { names, partition } = range
        flights.add(flight)
        // It belongs to nobody: who asked for it may be interrupted while others wait for it.
        yield* sharedRead({ after, limit, names: names === undefined ? undefined : [...names], partition }).pipe(
          Effect.flatMap((read) =>
            Effect.clockWith((clock) =>
              Effect.sync((): Kept => {
                const since = clock.currentTimeMillisUnsafe()
                const page = { ...read, asOf }
                const landed: Kept = { ...range, page, bytes: bytesOf(page.events), since, places: new Map() }
                if (page.position > after) {
                  kept = [...kept, landed].toSorted((a, b) => a.after < b.after ? -1 : a.after > b.after ? 1 : 0)
                  tidy(since)
                }
                return landed
              })
            )
          ),
          Effect.onExit((exit) =>
            Effect.sync(() => {
              flights.delete(flight)
              Deferred.doneUnsafe(flight.landed, exit)
            })
          ),
          Effect.forkIn(scope)
        )
        return flight
      })

    const join: Window["join"] = (wanted) =>
      Effect.gen(function*() {
        const follower: Follower = {
          wanted,
          names: wanted.names === undefined ? undefined : new Set(wanted.names),
          at: undefined
        }
        yield* Effect.acquireRelease(
          Effect.sync(() => void followers.add(follower)),
          () =>
            Effect.clockWith((clock) =>
              Effect.sync(() => {
                followers.delete(follower)
                tidy(clock.currentTimeMillisUnsafe())
              })
            )
        )
        const readAlone = LogRead.inLess(events.readAll)
        const read: Reader["read"] = (after) =>
          Effect.clockWith((clock) => {
            const at = follower.at
            follower.at = after
            const found = find(follower, after)
            // What was found is the follower's; the window need not keep it for that one.
            if (at !== after) tidy(clock.currentTimeMillisUnsafe())
            if (found !== undefined) return Effect.succeed(found)
            for (const flight of flights) {
              if (flight.after === after && covers(flight, follower)) {
                return Effect.map(Deferred.await(flight.landed), (landed) => pick(landed, follower))
              }
            }
            const near = [...followers].filter((each) =>
              isNear(each, after) &&
              (partitionOf !== undefined || samePartition(each.wanted.partition, wanted.partition))
            )
            if (near.length > 1) {
              return Effect.flatMap(
                depart(near, after),
                (flight) => Effect.map(Deferred.await(flight.landed), (landed) => pick(landed, follower))
              )
            }
            const asOf = wakeUps
            return Effect.map(readAlone({ after, limit: limitAt(after), ...wanted }), (page) => ({ ...page, asOf }))
          })
        return { read, appendedSince }
      })
    return { join }
  })

/** The windows of event stores, each open while somebody reads. */
const windows = new WeakMap<Service, RcRef.RcRef<Window, EventStoreError>>()

const windowOf = (events: Service): Effect.Effect<RcRef.RcRef<Window, EventStoreError>> =>
  Effect.suspend(() => {
    const known = windows.get(events)
    if (known !== undefined) return Effect.succeed(known)
    // It closes with its last reader, so nothing is left for a scope of its own to close.
    return Effect.map(
      Effect.provideService(RcRef.make({ acquire: open(events) }), Scope.Scope, Scope.makeUnsafe()),
      (made) => {
        const window = windows.get(events) ?? made
        windows.set(events, window)
        return window
      }
    )
  })

/** Reads an event store's log together with all others in this process, for as long as the scope is open. */
export const join = (
  events: Service,
  wanted: Wanted
): Effect.Effect<Reader, EventStoreError, Scope.Scope> =>
  Effect.flatMap(Effect.flatMap(windowOf(events), RcRef.get), (window) => window.join(wanted))
