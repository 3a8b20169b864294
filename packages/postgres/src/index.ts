/**
 * The event store on PostgreSQL.
 */
export * as Health from "./Health.ts"
export * as LogAudit from "./LogAudit.ts"
export * as Migrations from "./Migrations.ts"
export * as MigrationsError from "./MigrationsError.ts"
export * as PostgresEventStore from "./PostgresEventStore.ts"
export * as Tenants from "./Tenants.ts"
export * as WakeUp from "./WakeUp.ts"
