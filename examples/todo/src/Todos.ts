/**
 * The to-do lists as a service, and where they are kept: in the database of `DATABASE_URL`, or else in a data folder, by an
 * embedded PostgreSQL that runs for as long as somebody uses it.
 */
import * as Store from "@composable-ts/core/Store"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as EmbeddedPostgres from "@composable-ts/testing/EmbeddedPostgres"
import * as PgClient from "@effect/sql-pg/PgClient"
import { Config, Context, Effect, Layer, Option, Redacted } from "effect"
import { type TodoCommand, type TodoEvent, todoList, type TodoRefusal, type Todos as TodosState } from "./TodoList.ts"

/** All lists, over the event store of the context. */
export class Todos extends Context.Service<
  Todos,
  Store.AggregateStore<TodosState, TodoCommand, TodoEvent, TodoRefusal>
>()("todo/Todos") {
  static readonly layer = Layer.effect(Todos, Store.aggregate(todoList))
}

const server = (dataFolder: string) =>
  Effect.gen(function*() {
    const configured = yield* Config.option(Config.Redacted("DATABASE_URL"))
    return Option.isSome(configured) && Redacted.value(configured.value) !== ""
      ? configured.value
      : (yield* EmbeddedPostgres.start({ dataDir: dataFolder })).url
  })

/** The lists that are kept in a folder, or in the database of `DATABASE_URL`, where it is set. */
export const layerIn = (dataFolder: string) =>
  Todos.layer.pipe(
    Layer.provide(PostgresEventStore.layer()),
    Layer.provide(
      Layer.unwrap(Effect.map(server(dataFolder), (url) => PgClient.layer({ url, applicationName: "todo" })))
    )
  )
