/**
 * Tests of rules as pure functions, and a real PostgreSQL for the rest. `EventStoreContract`, `SnapshotStoreContract`,
 * `EventBusContract` and `GlobalSetup` belong to vitest: they are imported by their paths.
 */
export * as AggregateTest from "./AggregateTest.ts"
export * as EmbeddedPostgres from "./EmbeddedPostgres.ts"
export * as TestDatabase from "./TestDatabase.ts"
