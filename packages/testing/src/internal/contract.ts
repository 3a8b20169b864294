/**
 * What the contract suites of services have in common.
 */
import { layer } from "@effect/vitest"
import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"

/** One thing that an implementation of a service must do. */
export interface Case<in Service> {
  readonly name: string
  /** Fails or throws when the service does not do it. */
  readonly check: (service: Service) => Effect.Effect<void, unknown, Scope.Scope>
}

/** How long parts of a suite may take. */
export interface SuiteOptions {
  /** For the service to be ready, and to be shut down. Default 60 seconds. */
  readonly start?: Duration.Input | undefined
  /** For one case, in milliseconds. Default 30 000. */
  readonly eachCase?: number | undefined
}

/** Declares the cases of a service as a suite of vitest, for the implementation that a layer provides. */
export const suiteOf = <Id, Service>(service: Context.Service<Id, Service>, cases: ReadonlyArray<Case<Service>>) =>
<E>(
  name: string,
  implementation: Layer.Layer<Id, E>,
  { eachCase = 30_000, start = "60 seconds" }: SuiteOptions = {}
): void =>
  layer(implementation, { timeout: start, concurrent: false, excludeTestServices: true })(name, (it) => {
    for (const { check, name } of cases) it.effect(name, () => Effect.flatMap(service, check), eachCase)
  })
