/**
 * The outbox on PostgreSQL: the contract, and what it cannot ask of a store in memory.
 */
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as PostgresOutbox from "@composable-ts/postgres/PostgresOutbox"
import * as OutboxContract from "@composable-ts/testing/OutboxContract"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import { Layer } from "effect"

OutboxContract.suite(
  "PostgresOutbox",
  Layer.mergeAll(PostgresEventStore.layer(), PostgresOutbox.layer()).pipe(Layer.provide(TestDatabase.layer))
)
