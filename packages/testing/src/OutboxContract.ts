/**
 * What every outbox must do, together with the event store that fills it, as cases that an implementer runs against a
 * pair of their own. The in-memory pair passes all of them.
 */
import { EventStore } from "@composable-ts/core/EventStore"
import { Outbox } from "@composable-ts/core/Outbox"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type Case as CaseOf, suiteOf, type SuiteOptions } from "./internal/contract.ts"
import { claimCases } from "./internal/outboxContract/claim.ts"
import { endCases } from "./internal/outboxContract/end.ts"
import type { Stores } from "./internal/outboxContract/fixture.ts"
import { orderCases } from "./internal/outboxContract/order.ts"
import { settleCases } from "./internal/outboxContract/settle.ts"
import { storeCases } from "./internal/outboxContract/store.ts"

export type { Stores, SuiteOptions }

/** One thing that the two must do. */
export interface Case extends CaseOf<Stores> {}

/**
 * The whole contract. Each case works on streams and kinds of its own, so one pair serves all, one after the other; but
 * nobody else may claim from it at the same time.
 */
export const cases: ReadonlyArray<Case> = [
  ...storeCases,
  ...claimCases,
  ...orderCases,
  ...endCases,
  ...settleCases
]

class Pair extends Context.Service<Pair, Stores>()("@composable-ts/testing/OutboxContract/Pair") {}

const declare = suiteOf(Pair, cases)

const pair = Layer.effect(
  Pair,
  Effect.gen(function*() {
    return { events: yield* EventStore, outbox: yield* Outbox }
  })
)

/**
 * Declares the contract as a suite of vitest, for the event store and outbox that a layer provides. The layer is built
 * once, and real time passes.
 *
 * @example
 * ```ts no-run
 * import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
 * import * as OutboxContract from "@composable-ts/testing/OutboxContract"
 *
 * OutboxContract.suite("MemoryEventStore", MemoryEventStore.layerWithOutbox)
 * ```
 */
export const suite = <E>(name: string, stores: Layer.Layer<EventStore | Outbox, E>, options?: SuiteOptions): void =>
  declare(name, Layer.provide(pair, stores), options)
