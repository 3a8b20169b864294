/**
 * The connection by which a store writes to the log: one beside the client's pool, with the client's settings, on which
 * statements are pipelined. The next is at the server before the last is answered, so that the server works on one while
 * this process deals with the other.
 */
import * as Pg from "@effect/sql-pg/PgClient"
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as Scope from "effect/Scope"
import type { SqlError } from "effect/sql/SqlError"

/** A connection that is opened when it is first needed, and again after it was lost. */
export interface Pipeline {
  readonly client: () => PgClient
  /** Gives up a connection that has fallen silent; what comes later goes over another. */
  readonly giveUp: (silent: PgClient) => Effect.Effect<void, SqlError>
}

type Opening = (client: PgClient, depth: number) => Effect.Effect<PgClient, SqlError, Scope.Scope>

/** How the connection is opened. Taken from the context in which the store is made. */
export const Open: Context.Reference<Opening> = Context.Reference("@composable-ts/postgres/Pipeline/Open", {
  defaultValue: (): Opening => (client, depth) =>
    Effect.provide(
      Pg.make({
        ...client.config,
        multiplex: true,
        multiplexConcurrency: depth,
        maxConnections: 1,
        minConnections: 0
      }),
      Reactivity.layer
    )
})

/** Makes ready to pipeline so many statements. Nothing is opened yet. */
export const make = (client: PgClient, depth: number): Effect.Effect<Pipeline, SqlError, Scope.Scope> =>
  Effect.gen(function*() {
    const open = yield* Open
    const scope = yield* Effect.scope
    const opened = Effect.uninterruptible(Effect.gen(function*() {
      const own = yield* Scope.fork(scope)
      return { own, client: yield* Scope.provide(open(client, depth), own) }
    }))
    let current = yield* opened
    return {
      client: () => current.client,
      giveUp: (silent) =>
        Effect.suspend(() => {
          if (current.client !== silent) return Effect.void
          const { own } = current
          return Effect.flatMap(opened, (next) => {
            current = next
            // An orderly end waits for what is under way, which may be for ever.
            return Effect.asVoid(Effect.forkDetach(Scope.close(own, Exit.void)))
          })
        })
    }
  })
