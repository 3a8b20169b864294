/**
 * The event store on PostgreSQL.
 */
export * as Health from "./Health.ts"
export * as PostgresEventStore from "./PostgresEventStore.ts"
export * as WakeUp from "./WakeUp.ts"
