/**
 * What every event store must do, as cases that an implementer runs against a store of their own. The in-memory store
 * and the PostgreSQL store pass all of them.
 */
import { EventStore, type Service } from "@composable-ts/core/EventStore"
import type * as Layer from "effect/Layer"
import { type Case as CaseOf, suiteOf, type SuiteOptions } from "./internal/contract.ts"
import { expectedVersionCases } from "./internal/eventStoreContract/expectedVersion.ts"
import { idempotencyCases } from "./internal/eventStoreContract/idempotency.ts"
import { invalidAppendCases } from "./internal/eventStoreContract/invalidAppend.ts"
import { payloadCases } from "./internal/eventStoreContract/payload.ts"
import { readCases } from "./internal/eventStoreContract/read.ts"
import { readAllCases } from "./internal/eventStoreContract/readAll.ts"
import { recordedCases } from "./internal/eventStoreContract/recorded.ts"
import { subscribeCases } from "./internal/eventStoreContract/subscribe.ts"
import { tombstoneCases } from "./internal/eventStoreContract/tombstone.ts"
import { transactCases } from "./internal/eventStoreContract/transact.ts"

export type { SuiteOptions }

/** One thing that an event store must do. It needs the store for itself while it runs. */
export interface Case extends CaseOf<Service> {}

/** The whole contract. Each case works on streams of its own, so one store serves all, one after the other. */
export const cases: ReadonlyArray<Case> = [
  ...expectedVersionCases,
  ...invalidAppendCases,
  ...idempotencyCases,
  ...transactCases,
  ...readCases,
  ...readAllCases,
  ...subscribeCases,
  ...recordedCases,
  ...payloadCases,
  ...tombstoneCases
]

/**
 * Declares the contract as a suite of vitest, for the store that a layer provides. The layer is built once, and real
 * time passes. Nothing else may write to the store meanwhile; what was in it before does no harm.
 *
 * @example
 * ```ts no-run
 * import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
 * import * as EventStoreContract from "@composable-ts/testing/EventStoreContract"
 *
 * EventStoreContract.suite("MemoryEventStore", MemoryEventStore.layer)
 * ```
 */
export const suite: <E>(name: string, store: Layer.Layer<EventStore, E>, options?: SuiteOptions) => void = suiteOf(
  EventStore,
  cases
)
