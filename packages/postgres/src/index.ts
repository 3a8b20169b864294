/**
 * The event store on PostgreSQL, and what stands beside it: snapshots, the outbox, and the keys of personal
 * data.
 */
export * as Codec from "./Codec.ts"
export * as ConnectionPool from "./ConnectionPool.ts"
export * as Health from "./Health.ts"
export * as LogAudit from "./LogAudit.ts"
export * as Migrations from "./Migrations.ts"
export * as MigrationsError from "./MigrationsError.ts"
export * as PostgresEventStore from "./PostgresEventStore.ts"
export * as PostgresOutbox from "./PostgresOutbox.ts"
export * as PostgresSnapshotStore from "./PostgresSnapshotStore.ts"
export * as PostgresSubjectKeys from "./PostgresSubjectKeys.ts"
export * as Tenants from "./Tenants.ts"
export * as WakeUp from "./WakeUp.ts"
