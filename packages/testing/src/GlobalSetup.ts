/**
 * For vitest's `globalSetup`: one PostgreSQL server for the whole run, that of `DATABASE_URL` or else an embedded one
 * with a temporary cluster. `TestDatabase` finds it by itself. What a killed run has left on a server of `DATABASE_URL`
 * is dropped first, and at the end whatever this one has.
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
import * as testRun from "./internal/testRun.ts"
import { runVariable, serverVariable } from "./TestDatabase.ts"

const start = Effect.gen(function*() {
  const url = yield* EmbeddedPostgres.databaseUrl()
  const run = testRun.makeRun()
  yield* testRun.hold(url, run)
  yield* Effect.addFinalizer(() => Effect.orDie(testRun.dropAll(url, run)))
  return { url, run }
})

/** Called by vitest before the first test; yields what it calls after the last. */
const setup = async (): Promise<() => Promise<void>> => {
  const scope = await Effect.runPromise(Scope.make())
  const { run, url } = await Effect.runPromise(
    Scope.provide(start, scope).pipe(Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause))))
  )
  process.env[serverVariable] = Redacted.value(url)
  process.env[runVariable] = run
  return async () => {
    delete process.env[serverVariable]
    delete process.env[runVariable]
    await Effect.runPromise(Scope.close(scope, Exit.void))
  }
}

export default setup
