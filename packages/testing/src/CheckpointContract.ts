/**
 * What the checkpoints of every database must do, as cases that an implementer runs against checkpoints of their own.
 * That they move in the caller's transaction, or not at all, is left to the implementer's own tests: what a transaction
 * is depends on the database.
 */
import { Checkpoints, type Service } from "@composable-ts/projections/Checkpoint"
import type * as Layer from "effect/Layer"
import { beginCases } from "./internal/checkpointContract/begin.ts"
import { fenceCases } from "./internal/checkpointContract/fence.ts"
import { type Case as CaseOf, suiteOf, type SuiteOptions } from "./internal/contract.ts"

export type { SuiteOptions }

/** One thing that checkpoints must do. */
export interface Case extends CaseOf<Service> {}

/** The whole contract. Each case uses subscribers of its own, so one database serves all, one after the other. */
export const cases: ReadonlyArray<Case> = [...beginCases, ...fenceCases]

/** Declares the contract as a suite of vitest, for the checkpoints that a layer provides. The layer is built once. */
export const suite: <E>(name: string, checkpoints: Layer.Layer<Checkpoints, E>, options?: SuiteOptions) => void =
  suiteOf(Checkpoints, cases)
