/**
 * What every event bus must do, as cases that an implementer runs against a bus of their own. The in-memory bus passes
 * all of them. What only some promise, as that a publisher waits for a slow subscriber, is left to their own tests.
 */
import { EventBus, type Service } from "@composable-ts/core/EventBus"
import type * as Layer from "effect/Layer"
import { type Case as CaseOf, suiteOf, type SuiteOptions } from "./internal/contract.ts"
import { backPressureCases } from "./internal/eventBusContract/backPressure.ts"
import { consumeCases } from "./internal/eventBusContract/consume.ts"
import { groupCases } from "./internal/eventBusContract/group.ts"
import { messageCases } from "./internal/eventBusContract/message.ts"
import { nameCases } from "./internal/eventBusContract/name.ts"
import { orderCases } from "./internal/eventBusContract/order.ts"
import { subscribeCases } from "./internal/eventBusContract/subscribe.ts"

export type { SuiteOptions }

/** One thing that an event bus must do. */
export interface Case extends CaseOf<Service> {}

/** The whole contract. Each case uses topics and groups of its own, so one bus serves all, one after the other. */
export const cases: ReadonlyArray<Case> = [
  ...subscribeCases,
  ...orderCases,
  ...groupCases,
  ...consumeCases,
  ...backPressureCases,
  ...messageCases,
  ...nameCases
]

/**
 * Declares the contract as a suite of vitest, for the bus that a layer provides. The layer is built once, and real time
 * passes.
 *
 * @example
 * ```ts no-run
 * import * as MemoryEventBus from "@composable-ts/core/MemoryEventBus"
 * import * as EventBusContract from "@composable-ts/testing/EventBusContract"
 *
 * EventBusContract.suite("MemoryEventBus", MemoryEventBus.layer)
 * ```
 */
export const suite: <E>(name: string, bus: Layer.Layer<EventBus, E>, options?: SuiteOptions) => void = suiteOf(
  EventBus,
  cases
)
