/**
 * Asynchronous projections of the log into read models.
 */
export * as Checkpoint from "./Checkpoint.ts"
export * as Projection from "./Projection.ts"
export * as ProjectionError from "./ProjectionError.ts"
