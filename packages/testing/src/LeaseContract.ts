/**
 * What the leases of every database must do, as cases that an implementer runs against leases of their own. Some cases
 * wait until a lease expires: give the implementation a short lease time, of half a second or so.
 */
import { Leases, type Service } from "@composable-ts/projections/Lease"
import type * as Layer from "effect/Layer"
import { type Case as CaseOf, suiteOf, type SuiteOptions } from "./internal/contract.ts"
import { expiryCases } from "./internal/leaseContract/expiry.ts"
import { membersCases } from "./internal/leaseContract/members.ts"
import { takeCases } from "./internal/leaseContract/take.ts"

export type { SuiteOptions }

/** One thing that leases must do. */
export interface Case extends CaseOf<Service> {}

/** The whole contract. Each case uses subscribers of its own, so one database serves all, one after the other. */
export const cases: ReadonlyArray<Case> = [...takeCases, ...membersCases, ...expiryCases]

/**
 * Declares the contract as a suite of vitest, for the leases that a layer provides. The layer is built once, and real
 * time passes.
 */
export const suite: <E>(name: string, leases: Layer.Layer<Leases, E>, options?: SuiteOptions) => void = suiteOf(
  Leases,
  cases
)
