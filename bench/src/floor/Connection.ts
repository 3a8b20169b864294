/**
 * Plain connections of the `pg` driver, on which the floor works.
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import pg from "pg"
import { numbers } from "../Timing.ts"

/** A row as an array of its values. */
export type Values = ReadonlyArray<unknown>

/** Something that a plain promise does; whatever it rejects with is an error. */
export const work = <A>(run: () => Promise<A>): Effect.Effect<A, Error> =>
  Effect.tryPromise({
    try: run,
    catch: (reason) => reason instanceof Error ? reason : new Error(String(reason))
  })

/** Connects for the length of the scope. */
export const connect = (url: Redacted.Redacted): Effect.Effect<pg.Client, Error, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.suspend(() => {
      const client = new pg.Client({ connectionString: Redacted.value(url), application_name: "floor" })
      // A lost connection fails whatever is asked of it; unheard, this event would end the process as well.
      client.on("error", () => {})
      return Effect.as(work(() => client.connect()), client)
    }),
    (client) => Effect.orDie(work(() => client.end()))
  )

/** So many connections. */
export const connections = (
  url: Redacted.Redacted,
  count: number
): Effect.Effect<ReadonlyArray<pg.Client>, Error, Scope.Scope> => Effect.forEach(numbers(count), () => connect(url))

/** A query's rows. */
export const query = (
  client: pg.Client,
  statement: pg.QueryArrayConfig<Array<unknown>>
): Effect.Effect<ReadonlyArray<Values>, Error> =>
  Effect.map(work(() => client.query<Array<unknown>>(statement)), ({ rows }) => rows)
