/**
 * The contract of every event store, on PostgreSQL.
 */
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as EventStoreContract from "@composable-ts/testing/EventStoreContract"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import { Layer } from "effect"

EventStoreContract.suite("PostgresEventStore", PostgresEventStore.layer().pipe(Layer.provide(TestDatabase.layer)))
