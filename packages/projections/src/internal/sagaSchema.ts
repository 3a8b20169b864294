/**
 * Where sagas keep their books; see `sagaTables`.
 */
import { schema } from "./schema.ts"

/** Inputs that their sagas refused. */
export const refusals = `${schema}.saga_refusals`

/** The instances of sagas. */
export const instances = `${schema}.saga_instances`
