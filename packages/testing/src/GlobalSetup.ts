/**
 * For vitest's `globalSetup`: one PostgreSQL server for the whole run, that of `DATABASE_URL` or else an embedded one
 * with a temporary cluster. `TestDatabase` finds it by itself.
 *
 * @example
 * ```ts no-run
 * import { defineConfig } from "vitest/config"
 *
 * export default defineConfig({ test: { globalSetup: "@composable-ts/testing/GlobalSetup" } })
 * ```
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as EmbeddedPostgres from "./EmbeddedPostgres.ts"
import { serverVariable } from "./TestDatabase.ts"

/** Called by vitest before the first test; yields what it calls after the last. */
const setup = async (): Promise<() => Promise<void>> => {
  const scope = await Effect.runPromise(Scope.make())
  const url = await Effect.runPromise(Scope.provide(EmbeddedPostgres.databaseUrl(), scope))
  process.env[serverVariable] = Redacted.value(url)
  return async () => {
    delete process.env[serverVariable]
    await Effect.runPromise(Scope.close(scope, Exit.void))
  }
}

export default setup
