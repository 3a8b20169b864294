/**
 * Asynchronous projections of the log into read models.
 */
export * as Checkpoint from "./Checkpoint.ts"
export * as Consistency from "./Consistency.ts"
export * as Lease from "./Lease.ts"
export * as Projection from "./Projection.ts"
export * as ProjectionError from "./ProjectionError.ts"
export * as ReadModel from "./ReadModel.ts"
export * as Rebuild from "./Rebuild.ts"
export * as RebuildProgress from "./RebuildProgress.ts"
export * as Start from "./Start.ts"
export * as Status from "./Status.ts"
export * as Subscription from "./Subscription.ts"
export * as Table from "./Table.ts"
