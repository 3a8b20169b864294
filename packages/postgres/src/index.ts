/**
 * The event store on PostgreSQL, and what stands beside it: snapshots, and the keys of personal data.
 */
export * as PostgresEventStore from "./PostgresEventStore.ts"
export * as PostgresSnapshotStore from "./PostgresSnapshotStore.ts"
export * as PostgresSubjectKeys from "./PostgresSubjectKeys.ts"
