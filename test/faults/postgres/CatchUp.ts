/**
 * A process that follows a log to its head, for its test: it says what it got, and keeps it or not.
 */
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as PgClient from "@effect/sql-pg/PgClient"
import { Effect, Redacted, Stream } from "effect"
import * as Reactivity from "effect/reactivity/Reactivity"

const { mode, schema, url } = JSON.parse(process.argv[2] ?? "") as {
  readonly url: string
  readonly schema: string
  readonly mode: "stream" | "collect"
}

const program = Effect.scoped(Effect.gen(function*() {
  const client = yield* Effect.provide(PgClient.make({ url: Redacted.make(url) }), Reactivity.layer)
  const store = yield* Effect.provideService(PostgresEventStore.make({ schema }), PgClient.PgClient, client)
  const { head } = yield* store.readAll({ after: 0n, limit: 0 })
  const kept: Array<unknown> = []
  let count = 0
  let last = 0n
  let ordered = true
  yield* store.subscribe({ after: 0n }).pipe(
    Stream.takeUntil(({ globalPosition }) => globalPosition === head),
    Stream.runForEach((event) =>
      Effect.sync(() => {
        count++
        ordered &&= event.globalPosition === last + 1n
        last = event.globalPosition
        if (mode === "collect") kept.push(event)
      })
    )
  )
  return { count, last: String(last), ordered }
}))

process.stdout.write(JSON.stringify(await Effect.runPromise(program)))
