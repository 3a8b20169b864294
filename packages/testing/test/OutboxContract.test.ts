/**
 * A contract is worth what it catches: each fault below is a pair of stores that does one thing wrong, and the cases that
 * must notice it.
 */
import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
import * as Outbox from "@composable-ts/core/Outbox"
import * as OutboxContract from "@composable-ts/testing/OutboxContract"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit } from "effect"

type Stores = OutboxContract.Stores
type Fault = (stores: Stores) => {
  readonly events?: Partial<Stores["events"]>
  readonly outbox?: Partial<Stores["outbox"]>
}

/** The event store with its appends done otherwise. */
const appending = (
  transact: Stores["events"]["transact"]
): { readonly events: Partial<Stores["events"]> } => ({
  events: {
    transact,
    append: (streamId, expected, event, options) =>
      Effect.map(transact([{ streamId, expected, events: event }], options), ([result]) => result)
  }
})

/** Remembers every claim that was made, as a store without tokens would take any of them. */
const latest = ({ outbox }: Stores) => {
  const claims = new Map<string, Outbox.Claim>()
  const claim: Stores["outbox"]["claim"] = (options) =>
    Effect.tap(
      outbox.claim(options),
      (all) => Effect.sync(() => all.forEach((one) => claims.set(Outbox.idempotencyKey(one), one)))
    )
  const refreshed = <A extends Outbox.ClaimRef>(one: A): A => ({
    ...one,
    token: claims.get(Outbox.idempotencyKey(one))?.token ?? one.token
  })
  return { claim, refreshed }
}

const faults: ReadonlyArray<readonly [fault: string, noticedBy: RegExp, Fault]> = [
  [
    "forgets the entries",
    /^store: the entries of an append/,
    (stores) => appending((appends, options) => stores.events.transact(appends, { ...options, outbox: [] }))
  ],
  [
    "forgets the entries of commands for several streams",
    /^store: entries of a command for several streams/,
    (stores) =>
      appending((appends, options) =>
        stores.events.transact(appends, appends.length > 1 ? { ...options, outbox: [] } : options)
      )
  ],
  [
    "stores the entries on a duplicate",
    /^store: a repeated command stores none again/,
    (stores) =>
      appending((appends, options = {}) =>
        Effect.tap(
          stores.events.transact(appends, options),
          ([{ duplicate }]) =>
            duplicate && options.outbox !== undefined
              ? stores.events.append(appends[0].streamId, { _tag: "Any" }, appends[0].events, {
                outbox: options.outbox
              })
              : Effect.void
        )
      )
  ],
  [
    "stores the entries in another commit, before the events",
    /^store: an append that meets a conflict/,
    (stores) =>
      appending((appends, options = {}) => {
        const elsewhere = { ...appends[0], expected: { _tag: "Any" } } as const
        return options.outbox === undefined
          ? stores.events.transact(appends, options)
          : Effect.andThen(
            stores.events.transact([elsewhere], { outbox: options.outbox }),
            stores.events.transact(appends, options)
          )
      })
  ],
  [
    "lets two claim one",
    /^claim: nothing where nothing is due, and nobody gets what is claimed/,
    ({ outbox }) => ({
      outbox: {
        claim: (options) =>
          Effect.tap(
            outbox.claim(options),
            Effect.forEach((claim) => Effect.ignore(outbox.retry(claim, { after: 0, error: "" })))
          )
      }
    })
  ],
  [
    "looks for what is due first, and claims it later",
    /^claim: of 16 workers at once no two/,
    ({ outbox }) => {
      let seen: ReadonlyArray<Outbox.Claim> = []
      return {
        outbox: {
          claim: (options) =>
            Effect.gen(function*() {
              if (seen.length === 0) seen = yield* outbox.claim(options)
              const claims = seen.filter(({ kind }) => options.kinds?.includes(kind) ?? true)
              yield* Effect.yieldNow
              seen = []
              return claims
            })
        }
      }
    }
  ],
  [
    "ignores the token when it completes",
    /^claim: when a lease runs out/,
    (stores) => {
      const { claim, refreshed } = latest(stores)
      return { outbox: { claim, complete: (claims) => stores.outbox.complete(claims.map(refreshed)) } }
    }
  ],
  [
    "ignores the token when it parks",
    /^claim: when a lease runs out/,
    (stores) => {
      const { claim, refreshed } = latest(stores)
      return { outbox: { claim, park: (one, error) => stores.outbox.park(refreshed(one), error) } }
    }
  ],
  [
    "says nothing of stale claims",
    /^complete: removes the entries/,
    ({ outbox }) => ({
      outbox: { complete: (claims) => Effect.catchTag(outbox.complete(claims), "StaleClaim", () => Effect.void) }
    })
  ],
  [
    "completes nothing when one claim is stale",
    /^complete: removes the entries/,
    ({ outbox }) => ({
      outbox: {
        complete: (claims) =>
          claims.length < 2
            ? outbox.complete(claims)
            : Effect.fail(new Outbox.StaleClaim({ entries: [claims[0]!] }))
      }
    })
  ],
  [
    "never gives a lease up",
    /^claim: when a lease runs out/,
    ({ outbox }) => ({ outbox: { claim: (options) => outbox.claim({ ...options, lease: "1 hour" }) } })
  ],
  [
    "takes a delay for nothing",
    /^claim: an entry is not due before/,
    (stores) =>
      appending((appends, options) =>
        stores.events.transact(appends, {
          ...options,
          outbox: options?.outbox?.map((entry) =>
            entry.delay !== undefined && entry.delay > 0 && entry.delay < 1e12 ? { ...entry, delay: 0 } : entry
          )
        })
      )
  ],
  [
    "claims the youngest first",
    /^claim: no more than the limit, those that are due for longest first/,
    ({ outbox }) => ({ outbox: { claim: (options) => Effect.map(outbox.claim(options), (all) => all.toReversed()) } })
  ],
  [
    "claims of any kind",
    /^claim: of the kinds that are asked for/,
    ({ outbox }) => ({ outbox: { claim: ({ lease, limit }) => outbox.claim({ lease, limit }) } })
  ],
  [
    "retries at once",
    /^retry: the entry is due again after the delay/,
    ({ outbox }) => ({ outbox: { retry: (claim, { error }) => outbox.retry(claim, { after: 0, error }) } })
  ],
  [
    "completes what is to be parked",
    /^park: nobody gets the entry any more, and it is listed/,
    ({ outbox }) => ({ outbox: { park: (claim) => outbox.complete([claim]) } })
  ],
  [
    "forgets to settle claims",
    /^settle: an append completes claims/,
    (stores) => appending((appends, options = {}) => stores.events.transact(appends, { ...options, settles: [] }))
  ],
  [
    "settles claims in another commit, before the events",
    /^settle: an append completes claims/,
    (stores) =>
      appending((appends, { settles = [], ...options } = {}) =>
        Effect.andThen(
          Effect.catchTag(stores.outbox.complete(settles), "OutboxError", Effect.die),
          stores.events.transact(appends, options)
        )
      )
  ],
  [
    "stores the events whether or not the claims hold",
    /^settle: with a stale claim the append fails/,
    (stores) =>
      appending((appends, options = {}) =>
        Effect.catchTag(
          stores.events.transact(appends, options),
          "StaleClaim",
          () => stores.events.transact(appends, { ...options, settles: [] })
        )
      )
  ],
  [
    "completes what an append gives up",
    /^settle: an append completes claims, or gives them up/,
    (stores) =>
      appending((appends, options = {}) =>
        stores.events.transact(appends, {
          ...options,
          settles: options.settles?.map(({ deadBecause: _deadBecause, ...claim }) => claim)
        })
      )
  ],
  [
    "forgets to cancel",
    /^cancel: an append removes/,
    (stores) => appending((appends, options = {}) => stores.events.transact(appends, { ...options, cancels: [] }))
  ],
  [
    "cancels in another commit, whatever becomes of the events",
    /^cancel: an append removes/,
    (stores) =>
      appending((appends, { cancels = [], ...options } = {}) =>
        Effect.gen(function*() {
          const { streamId } = appends[0]
          const entries = yield* Effect.orDie(stores.outbox.list({ streamId, limit: 1_000 }))
          yield* Effect.orDie(stores.outbox.cancel(
            entries.filter(({ key }) =>
              key !== undefined && cancels.some((one) => "key" in one ? one.key === key : key.startsWith(one.prefix))
            )
          ))
          return yield* stores.events.transact(appends, options)
        })
      )
  ],
  [
    "keeps the entries of a tombstoned stream",
    /^tombstone: takes its stream's entries away/,
    (stores) => ({
      events: {
        tombstone: (streamId, expected) =>
          stores.events.append(streamId, expected, [{ type: "Gone.v1", data: {} } as never])
      }
    })
  ],
  [
    "knows no order",
    /^order: of the ordered entries of a stream no two workers/,
    (stores) =>
      appending((appends, options = {}) =>
        stores.events.transact(appends, {
          ...options,
          outbox: options.outbox?.map((entry) => ({ ...entry, ordered: false }))
        })
      )
  ],
  [
    "takes all workers for one",
    /^order: of the ordered entries of a stream no two workers/,
    ({ outbox }) => ({ outbox: { claim: (options) => outbox.claim({ ...options, worker: "one" }) } })
  ],
  [
    "lets what failed hold up all behind it",
    /^order: one that failed, or is dead/,
    ({ outbox }) => ({ outbox: { retry: (claim) => outbox.extend([claim], "1 hour") } })
  ],
  [
    "extends no lease",
    /^extend: a lease that is lengthened/,
    ({ outbox }) => ({ outbox: { extend: (claims) => outbox.extend(claims, "60 millis") } })
  ],
  [
    "counts an attempt that was given back",
    /^release: what is given back/,
    ({ outbox }) => ({
      outbox: {
        release: (claims) =>
          Effect.forEach(
            claims,
            (claim) => Effect.catchTag(outbox.retry(claim, { after: 0, error: "" }), "StaleClaim", () => Effect.void),
            { discard: true }
          )
      }
    })
  ],
  [
    "knows nothing of leases when it tells what is next",
    /^agenda: for how long/,
    ({ outbox }) => ({
      outbox: {
        agenda: (kinds) =>
          Effect.map(
            outbox.list({ kinds, status: "waiting", limit: 1_000 }),
            ([first]) => ({ overdue: undefined, next: first === undefined ? undefined : 3_600_000 })
          )
      }
    })
  ],
  [
    "lists what is dead as due",
    /^list: each entry with its standing/,
    ({ outbox }) => ({
      outbox: {
        list: (options) =>
          Effect.map(
            outbox.list(options),
            (all) => all.map((entry) => entry.status === "dead" ? { ...entry, status: "due" } : entry)
          )
      }
    })
  ],
  [
    "discards what is alive",
    /^discard: removes dead entries for good, and no others/,
    (stores) => {
      const { claim, refreshed } = latest(stores)
      return {
        outbox: {
          claim,
          discard: (entries) =>
            Effect.gen(function*() {
              for (const entry of entries) {
                yield* Effect.ignore(stores.outbox.park(refreshed({ ...entry, token: -1n }), ""))
              }
              return yield* stores.outbox.discard(entries)
            })
        }
      }
    }
  ]
]

/** The names of the cases that a pair with this fault fails. */
const failedBy = (fault: Fault) =>
  Effect.gen(function*() {
    const sound = yield* MemoryEventStore.makeWithOutbox
    const faulty = fault(sound)
    const stores: Stores = {
      events: { ...sound.events, ...faulty.events },
      outbox: { ...sound.outbox, ...faulty.outbox }
    }
    const failed = yield* Effect.forEach(OutboxContract.cases, ({ check, name }) =>
      Effect.map(
        Effect.exit(Effect.timeout(Effect.scoped(check(stores)), "2 seconds")),
        (exit) => Exit.isFailure(exit) ? [name] : []
      ))
    return failed.flat()
  })

describe("OutboxContract", () => {
  it("has cases of different names", () => {
    const names = OutboxContract.cases.map(({ name }) => name)
    assert.strictEqual(new Set(names).size, names.length)
  })

  it.live("holds for a sound pair", () =>
    Effect.map(failedBy(() => ({})), (failed) => assert.deepStrictEqual(failed, [])))
})

// They wait more than they work, and share nothing.
describe("OutboxContract", { concurrent: true }, () => {
  for (const [name, noticedBy, fault] of faults) {
    it.live(`catches a pair that ${name}`, () =>
      Effect.map(failedBy(fault), (failed) => {
        assert.isTrue(failed.some((name) => noticedBy.test(name)), `failed: ${failed.join("; ") || "nothing"}`)
        assert.isBelow(failed.length, OutboxContract.cases.length, "a fault should not fail everything")
      }), 60_000)
  }
})
