/**
 * The mutants that no test can tell from the original, because they do the same, and why they do. A test that fails for
 * one of them would test how the code is written, not what it does.
 */

/** A mutant: a piece of a file, and what stands in its place. */
export interface Equivalent {
  readonly file: string
  readonly original: string
  readonly replacement: string
  readonly reason: string
}

const compose = "packages/core/src/Compose.ts"
const aggregate = "packages/core/src/Aggregate.ts"
const record = "packages/core/src/internal/record.ts"

const spared = "only spares the work: a group with what does nothing is the group without it"
const twice = "a required field would be copied a second time, to the same value"

/** All that are known. Each must survive: one that is killed, or gone, is no longer equivalent. */
export const equivalents: ReadonlyArray<Equivalent> = [
  { file: aggregate, original: "reaction._tag !== \"None\"", replacement: "true", reason: spared },
  { file: aggregate, original: "\"None\"", replacement: "\"\"", reason: spared },
  { file: aggregate, original: "rest._tag === \"None\"", replacement: "false", reason: spared },
  {
    file: compose,
    original: "after !== next",
    replacement: "true",
    reason: "only spares the work: of a state that stayed nothing is removed"
  },
  {
    file: compose,
    original: "was === is",
    replacement: "false",
    reason: "only spares the work: of an element that stayed nothing is removed"
  },
  {
    file: "packages/core/src/Fx.ts",
    original: "f._tag === \"Parallel\"",
    replacement: "true",
    reason: "tells the compiler what has a concurrency; nothing else has one that is null"
  },
  {
    file: record,
    original: "compiled(tag, fields) ?? copying(tag, fields)",
    replacement: "compiled(tag, fields) && copying(tag, fields)",
    reason: "both make the same records, the one faster than the other"
  },
  { file: record, original: "keys.filter((key) => isOptional(fields, key))", replacement: "keys", reason: twice },
  {
    file: record,
    original: "{ return undefined }",
    replacement: "{}",
    reason: "a function that returns nothing returns undefined"
  },
  {
    file: "examples/order-processing/src/domain/Decimal.ts",
    original: "scale > -40",
    replacement: "scale >= -40",
    reason: "such a number has more than 40 digits before the point, which the notation refuses"
  }
]
