/**
 * What every snapshot store must do, as cases that an implementer runs against a store of their own. The in-memory store
 * passes all of them.
 */
import { type Service, SnapshotStore } from "@composable-ts/core/SnapshotStore"
import type * as Layer from "effect/Layer"
import { type Case as CaseOf, suiteOf, type SuiteOptions } from "./internal/contract.ts"
import { loadCases } from "./internal/snapshotStoreContract/load.ts"
import { removeCases } from "./internal/snapshotStoreContract/remove.ts"
import { saveCases } from "./internal/snapshotStoreContract/save.ts"
import { stateCases } from "./internal/snapshotStoreContract/state.ts"

export type { SuiteOptions }

/** One thing that a snapshot store must do. */
export interface Case extends CaseOf<Service> {}

/** The whole contract. Each case works on streams of its own, so one store serves all, one after the other. */
export const cases: ReadonlyArray<Case> = [...saveCases, ...loadCases, ...removeCases, ...stateCases]

/**
 * Declares the contract as a suite of vitest, for the store that a layer provides. The layer is built once, and real
 * time passes. What was in the store before does no harm.
 *
 * @example
 * ```ts no-run
 * import * as MemorySnapshotStore from "@composable-ts/core/MemorySnapshotStore"
 * import * as SnapshotStoreContract from "@composable-ts/testing/SnapshotStoreContract"
 *
 * SnapshotStoreContract.suite("MemorySnapshotStore", MemorySnapshotStore.layer)
 * ```
 */
export const suite: <E>(name: string, store: Layer.Layer<SnapshotStore, E>, options?: SuiteOptions) => void = suiteOf(
  SnapshotStore,
  cases
)
