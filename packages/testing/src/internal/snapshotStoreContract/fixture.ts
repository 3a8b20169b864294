/**
 * What the cases of the contract are made of.
 */
import type { Snapshot } from "@composable-ts/core/Snapshot"
import type { Service } from "@composable-ts/core/SnapshotStore"
import type { StreamId } from "@composable-ts/core/StreamId"
import type * as Schema from "effect/Schema"
import type { Case as CaseOf } from "../contract.ts"

/** One thing that a snapshot store must do. */
export type Case = CaseOf<Service>

/** A snapshot whose state and position tell its version, so that a mixture of two would show. */
export const snapshotAt = (
  streamId: StreamId,
  version: number,
  stateVersion = 1,
  state: Schema.Json = { version, stateVersion }
): Snapshot => ({ streamId, version, globalPosition: BigInt(version) * 3n + 1n, stateVersion, state })

/** The same values in an order that depends on nothing but them. */
export const shuffled = (values: ReadonlyArray<number>): ReadonlyArray<number> =>
  values.toSorted((a, b) => (a * 7_919) % 1_009 - (b * 7_919) % 1_009)
