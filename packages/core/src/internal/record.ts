/**
 * Constructors of tagged records. A spread copies whatever its argument has, which takes five times as long as a literal
 * that names its fields; the fields are known when the action is declared, so that literal is written and compiled then.
 */
import * as SchemaAST from "effect/SchemaAST"
import type { Fields } from "../Event.ts"

/** Makes a record of exactly the declared fields. It keeps no hold of its argument. */
export type MakeRecord = (payload?: object) => object

/** Where programs may not be compiled (`new Function` is forbidden by some hosts), fields are copied one by one. */
export const recordOf = (tag: string, fields: Fields): MakeRecord => compiled(tag, fields) ?? copying(tag, fields)

type Values = Readonly<Record<PropertyKey, unknown>>

/** The constructor, compiled; nothing where that is not possible. */
export const compiled = (tag: string, fields: Fields): MakeRecord | undefined => {
  const keys = Reflect.ownKeys(fields)
  // In a literal a member of this name would be the prototype, and a symbol has no text.
  if (keys.some((key) => typeof key === "symbol" || key === "__proto__")) return undefined
  const required = keys.filter((key) => !isOptional(fields, key)).map((key) =>
    `, ${quoted(key)}: payload[${quoted(key)}]`
  )
  const optional = keys.filter((key) => isOptional(fields, key))
    .map((key) => `if (Object.hasOwn(payload, ${quoted(key)})) record[${quoted(key)}] = payload[${quoted(key)}]\n`)
  const source = `if (payload === undefined) payload = {}
const record = { _tag: ${quoted(tag)}${required.join("")} }
${optional.join("")}return record`
  try {
    return new globalThis.Function("payload", source) as MakeRecord
  } catch {
    return undefined
  }
}

/** The same without a compiler. */
export const copying = (tag: string, fields: Fields): MakeRecord => {
  const keys = Reflect.ownKeys(fields)
  const required = keys.filter((key) => !isOptional(fields, key))
  const optional = keys.filter((key) => isOptional(fields, key))
  return (payload = {}) => {
    const given = [...required, ...optional.filter((key) => Object.hasOwn(payload, key))]
    return { _tag: tag, ...Object.fromEntries(given.map((key) => [key, (payload as Values)[key]])) }
  }
}

const quoted = (key: PropertyKey): string => JSON.stringify(key)

const isOptional = (fields: Fields, key: PropertyKey): boolean => SchemaAST.isOptional(fields[key]!.ast)
