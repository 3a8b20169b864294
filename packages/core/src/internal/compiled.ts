/**
 * The one place where core touches Effect's schema compiler, which is tagged unstable: should it move, this file does.
 * Without it (or where `new Function` is forbidden) the same codecs run interpreted, three to ten times slower.
 */
import type * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { enable } from "effect/schema/SchemaJITCompiler"
import * as SchemaAST from "effect/SchemaAST"

/** A struct's codec to and from JSON values, both directions compiled. */
export interface JsonCodec {
  readonly decode: (json: unknown) => Result.Result<object, Schema.SchemaError>
  readonly encode: (value: unknown) => Result.Result<Schema.Json, Schema.SchemaError>
}

/** Needs no services in either direction: the store decodes synchronously. */
export const jsonCodec = (schema: Schema.Codec<unknown, unknown>): JsonCodec => {
  const json = Schema.toCodecJson(schema)
  enable(json.ast)
  enable(SchemaAST.flip(json.ast))
  return {
    decode: Schema.decodeUnknownResult(json) as JsonCodec["decode"],
    encode: Schema.encodeUnknownResult(json)
  }
}
