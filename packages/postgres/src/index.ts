/**
 * The event store on PostgreSQL.
 */
export * as LogAudit from "./LogAudit.ts"
export * as PostgresEventStore from "./PostgresEventStore.ts"
