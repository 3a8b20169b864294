/**
 * Tests of rules as pure functions, and a real PostgreSQL for the rest. `EventStoreContract`, `SnapshotStoreContract`, `OutboxContract`,
 * `EventBusContract`, `Matchers` and `GlobalSetup` belong to vitest: they are imported by their paths.
 */
export * as AggregateTest from "./AggregateTest.ts"
export * as EmbeddedPostgres from "./EmbeddedPostgres.ts"
export * as FastCheck from "./FastCheck.ts"
export * as Laws from "./Laws.ts"
export * as ModelTest from "./ModelTest.ts"
export * as ReducerTest from "./ReducerTest.ts"
export * as Scenario from "./Scenario.ts"
export * as TestDatabase from "./TestDatabase.ts"
export * as TestStore from "./TestStore.ts"
