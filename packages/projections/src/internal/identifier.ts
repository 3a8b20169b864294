/**
 * Names as SQL has them.
 */

const longest = 63

const bytes = (text: string): number => encodeURIComponent(text).replace(/%../g, ".").length

/** An identifier in quotes. */
export const quoted = (name: string): string => `"${name.replaceAll("\"", "\"\"")}"`

/** A name, perhaps within a schema, each part in quotes. */
export const qualified = (...parts: ReadonlyArray<string>): string => parts.map(quoted).join(".")

/** The name itself; throws a `RangeError` where PostgreSQL would cut it, so that two could become one. */
export const checkLength = (name: string): string => {
  const length = bytes(name)
  if (length === 0 || length > longest) {
    throw new RangeError(`"${name}" cannot name anything in PostgreSQL: it has ${length} bytes, not 1 to ${longest}`)
  }
  return name
}
