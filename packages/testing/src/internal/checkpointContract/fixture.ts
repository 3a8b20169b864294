/**
 * What the cases of the contract are made of.
 */
import type { Checkpoint, Mark, Service } from "@composable-ts/projections/Checkpoint"
import type { Held } from "@composable-ts/projections/Lease"
import * as Effect from "effect/Effect"
import type { Case as CaseOf } from "../contract.ts"
import { freshId, freshSubscriber } from "../leaseContract/fixture.ts"

/** One thing that checkpoints must do. */
export type Case = CaseOf<Service>

/** A place with an event of its own. */
export const markAt = (position: bigint): Mark => ({ position, eventId: freshId() })

/** The mark before the first event. */
export const start: Mark = { position: 0n, eventId: undefined }

/** A new subscriber with checkpoints, and its leases in an epoch. */
export const begun = (checkpoints: Service, partitions = 1, from: Mark = start) =>
  Effect.gen(function*() {
    const subscriber = freshSubscriber()
    yield* checkpoints.begin(subscriber, partitions, from)
    const held = (epoch: bigint, partition = 0): Held => ({ ...subscriber, partition, epoch })
    return { subscriber, held }
  })

/** The checkpoints of so many partitions, all in one place. */
export const allAt = ({ eventId, position }: Mark, partitions: number): ReadonlyArray<Checkpoint> =>
  Array.from({ length: partitions }, (_, partition) => ({ partition, position, eventId }))
