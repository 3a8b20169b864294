/**
 * The name of the schema that holds a log.
 */
import * as Effect from "effect/Effect"

const shape = /^[a-z_][a-z0-9_]{0,50}$/

/** The schema of a log for which none is named. */
export const defaultSchema = "composable"

/** The name, which dies when it would need quoting, or is too long for a channel: it is written into statements. */
export const schemaName = (schema: string = defaultSchema): Effect.Effect<string> =>
  shape.test(schema)
    ? Effect.succeed(schema)
    : Effect.die(new TypeError(`"${schema}" cannot name the log's schema: it must match ${shape}`))

/** The schema's name as SQL takes it, be it a reserved word. */
export const quoted = (schema: string): string => `"${schema}"`
