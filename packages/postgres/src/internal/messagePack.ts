/**
 * JSON values as MessagePack: what comes back is what `JSON.parse(JSON.stringify(value))` makes.
 */
import { Decoder, Encoder, type ExtensionCodecType } from "@msgpack/msgpack"
import type * as Schema from "effect/Schema"

/** Deeper ones are left to JSON, which knows how deep it can go. */
const deepest = 1_000

const byteOrderMark = 0xfeff

/** The encoder replaces halves of surrogate pairs, and the decoder drops a byte order mark at a long text's beginning. */
const holdsText = (text: string): boolean => text.charCodeAt(0) !== byteOrderMark && !loneSurrogate.test(text)

const loneSurrogate = /\p{Surrogate}/u

const holdsMember = (value: unknown, depth: number): boolean => {
  switch (typeof value) {
    case "string":
      return holdsText(value)
    case "number":
      return Number.isFinite(value)
    case "boolean":
    // JSON leaves an undefined member out, and makes null of an undefined element. So does the encoder.
    case "undefined":
      return true
    case "object":
      if (value === null) return true
      if (depth === 0 || "toJSON" in value) return false
      return Array.isArray(value) ? holdsElements(value, depth - 1) : holdsMembers(value, depth - 1)
    default:
      return false
  }
}

const holdsElements = (elements: ReadonlyArray<unknown>, depth: number): boolean => {
  for (const element of elements) {
    if (!holdsMember(element, depth)) return false
  }
  return true
}

const holdsMembers = (record: object, depth: number): boolean => {
  const prototype: unknown = Object.getPrototypeOf(record)
  if (prototype !== Object.prototype && prototype !== null) return false
  for (const [key, value] of Object.entries(record)) {
    if (key === "__proto__" || !holdsText(key) || !holdsMember(value, depth)) return false
  }
  return true
}

/** Whether MessagePack brings the value back as JSON does. */
export const holds = (value: Schema.Json | undefined): boolean => value !== undefined && holdsMember(value, deepest)

/** There is none: JSON has no types beyond MessagePack's own. */
const noExtension: ExtensionCodecType<undefined> = {
  tryToEncode: () => null,
  decode: (_, type) => {
    throw new Error(`an extension of type ${type}`)
  }
}

const encoder = new Encoder({ extensionCodec: noExtension, ignoreUndefined: true, maxDepth: deepest + 1 })

const decoder = new Decoder({
  extensionCodec: noExtension,
  mapKeyConverter: (key) => {
    if (typeof key === "string") return key
    throw new Error("a key that is no text")
  }
})

/** The bytes of a value that MessagePack {@link holds}. */
export const encode = (value: Schema.Json): Uint8Array => encoder.encode(value)

/** The value back; throws on bytes that {@link encode} has not made. */
export const decode = (bytes: Uint8Array): Schema.Json => decoder.decode(bytes) as Schema.Json
