/**
 * The contract of every event store, on PostgreSQL, with either codec.
 */
import * as Codec from "@composable-ts/postgres/Codec"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as EventStoreContract from "@composable-ts/testing/EventStoreContract"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import { Layer } from "effect"

for (const codec of [Codec.json, Codec.messagePack]) {
  EventStoreContract.suite(
    `PostgresEventStore with ${codec.name}`,
    PostgresEventStore.layer({ codec }).pipe(Layer.provide(TestDatabase.layer))
  )
}
