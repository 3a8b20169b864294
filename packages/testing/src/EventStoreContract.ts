/**
 * What every event store must do, as cases that an implementer runs against a store of their own. The in-memory store
 * and the PostgreSQL store pass all of them.
 */
import { EventStore } from "@composable-ts/core/EventStore"
import { layer } from "@effect/vitest"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import { expectedVersionCases } from "./internal/eventStoreContract/expectedVersion.ts"
import type { Case } from "./internal/eventStoreContract/fixture.ts"
import { idempotencyCases } from "./internal/eventStoreContract/idempotency.ts"
import { invalidAppendCases } from "./internal/eventStoreContract/invalidAppend.ts"
import { payloadCases } from "./internal/eventStoreContract/payload.ts"
import { readCases } from "./internal/eventStoreContract/read.ts"
import { readAllCases } from "./internal/eventStoreContract/readAll.ts"
import { recordedCases } from "./internal/eventStoreContract/recorded.ts"
import { subscribeCases } from "./internal/eventStoreContract/subscribe.ts"
import { transactCases } from "./internal/eventStoreContract/transact.ts"

export type { Case }

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
  ...payloadCases
]

/** How long parts of the suite may take. */
export interface SuiteOptions {
  /** For the store to be ready, and to be shut down. Default 60 seconds. */
  readonly start?: Duration.Input | undefined
  /** For one case, in milliseconds. Default 30 000. */
  readonly eachCase?: number | undefined
}

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
export const suite = <E>(
  name: string,
  store: Layer.Layer<EventStore, E>,
  { eachCase = 30_000, start = "60 seconds" }: SuiteOptions = {}
): void =>
  layer(store, { timeout: start, concurrent: false, excludeTestServices: true })(name, (it) => {
    for (const { check, name } of cases) it.effect(name, () => Effect.flatMap(EventStore, check), eachCase)
  })
