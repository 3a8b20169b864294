/**
 * What the cases of the contract are made of.
 */
import type * as EventStore from "@composable-ts/core/EventStore"
import type * as Outbox from "@composable-ts/core/Outbox"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import assert from "node:assert/strict"
import type { Case as CaseOf } from "../contract.ts"
import { freshId } from "../eventStoreContract/fixture.ts"

/** An event store, and the outbox that its appends fill. */
export interface Stores {
  readonly events: EventStore.Service
  readonly outbox: Outbox.Service
}

/** One thing that the two must do together. */
export type Case = CaseOf<Stores>

/** A kind that nothing else uses, so that each case has an outbox for itself. */
export const freshKind = (): string => `kind-${freshId()}`

/** Entries of this kind, whose bodies tell their numbers. */
export const entries = (kind: string, count = 1): ReadonlyArray<Outbox.OutboxEntry> =>
  Array.from({ length: count }, (_, nr) => ({ kind, body: { nr } }))

/** Long enough for any case. */
export const long = "10 minutes"

/** All that is due of a kind. */
export const claimAll = ({ outbox }: Stores, kind: string): ReturnType<Outbox.Service["claim"]> =>
  outbox.claim({ kinds: [kind], limit: 1_000, lease: long })

/** The one entry that is due of a kind. */
export const claimOne = (stores: Stores, kind: string): Effect.Effect<Outbox.Claim, Outbox.OutboxError> =>
  Effect.map(claimAll(stores, kind), (claims) => {
    assert.equal(claims.length, 1, `${claims.length} entries are due`)
    return claims[0]!
  })

/** Waits until something of a kind is due. */
export const whenDue = (stores: Stores, kind: string): ReturnType<Outbox.Service["claim"]> =>
  Effect.repeat(claimAll(stores, kind), {
    until: (claims) => claims.length > 0,
    schedule: Schedule.spaced("5 millis")
  })

/** How many there are of a kind. */
export const countsOf = (
  { outbox }: Stores,
  kind: string
): Effect.Effect<Omit<Outbox.Counts, "kind">, Outbox.OutboxError> =>
  Effect.map(outbox.counts, (all) => {
    const { claimed, dead, delayed, due } = all.find((counts) => counts.kind === kind) ??
      { due: 0, delayed: 0, claimed: 0, dead: 0 }
    return { due, delayed, claimed, dead }
  })

/** Of no entry at all. */
export const none = { due: 0, delayed: 0, claimed: 0, dead: 0 }
