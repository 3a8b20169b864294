/**
 * What the cases of the contract are made of.
 */
import * as UuidV7 from "@composable-ts/core/UuidV7"
import type { Lease, Part, Service, Subscriber } from "@composable-ts/projections/Lease"
import * as Effect from "effect/Effect"
import type { Case as CaseOf } from "../contract.ts"

/** One thing that leases must do. */
export type Case = CaseOf<Service>

/** An id that nothing else uses, so that one database serves all cases. */
export const freshId = (): string => UuidV7.make(Date.now())

/** A subscriber that nothing else uses. */
export const freshSubscriber = (): Subscriber => ({ name: `contract-${freshId()}`, version: 1 })

/** A subscriber's parts. */
export const partsOf = (subscriber: Subscriber, partitions: number): ReadonlyArray<Part> =>
  Array.from({ length: partitions }, (_, partition) => ({
    name: subscriber.name,
    version: subscriber.version,
    partition
  }))

/** A new subscriber with so many leases, all free. */
export const declared = (leases: Service, partitions: number) =>
  Effect.gen(function*() {
    const subscriber = freshSubscriber()
    yield* leases.declare(subscriber, partitions)
    return { subscriber, parts: partsOf(subscriber, partitions) }
  })

/** The leases of a subscriber as everybody sees them, by partition. */
export const seen = (leases: Service, { name, version }: Subscriber) =>
  Effect.map(leases.survey, (survey): ReadonlyArray<Lease> =>
    survey.leases
      .filter((lease) => lease.name === name && lease.version === version)
      .toSorted((a, b) => a.partition - b.partition))

/** Who owns a subscriber's parts, by partition. */
export const owners = (leases: Service, subscriber: Subscriber) =>
  Effect.map(seen(leases, subscriber), (all) => all.map(({ owner }) => owner))

/** Who runs a subscriber. */
export const membersOf = (leases: Service, { name, version }: Subscriber) =>
  Effect.map(
    leases.survey,
    ({ members }) =>
      members.filter((each) => each.name === name && each.version === version).map(({ member }) => member).toSorted()
  )

/** Waits until something is so; the case's own time is the limit. */
export const until = <E>(holds: Effect.Effect<boolean, E>): Effect.Effect<void, E> =>
  Effect.gen(function*() {
    while (!(yield* holds)) yield* Effect.sleep(10)
  })
