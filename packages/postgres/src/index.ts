/**
 * The event store on PostgreSQL.
 */
export * as LogAudit from "./LogAudit.ts"
export * as Migrations from "./Migrations.ts"
export * as MigrationsError from "./MigrationsError.ts"
export * as PostgresEventStore from "./PostgresEventStore.ts"
export * as Tenants from "./Tenants.ts"
