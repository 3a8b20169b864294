/**
 * Asynchronous projections of the log into read models.
 */
export * as Checkpoint from "./Checkpoint.ts"
export * as Consistency from "./Consistency.ts"
export * as Lease from "./Lease.ts"
export * as Projection from "./Projection.ts"
export * as ProjectionError from "./ProjectionError.ts"
export * as Saga from "./Saga.ts"
export * as SagaStatus from "./SagaStatus.ts"
export * as Start from "./Start.ts"
export * as Status from "./Status.ts"
export * as Subscription from "./Subscription.ts"
