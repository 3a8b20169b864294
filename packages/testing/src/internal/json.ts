/**
 * JSON values on which stores are known to go wrong. Each is to come back exactly as it went in.
 */
import type * as Schema from "effect/Schema"

const nested = (depth: number): Schema.Json => {
  let value: Schema.Json = "deep"
  for (let i = 0; i < depth; i++) value = i % 2 === 0 ? [value] : { in: value }
  return value
}

export const difficultJson: Readonly<Record<string, Schema.Json>> = {
  "unicode": "zoë — 🦊 \u{10ffff} \u202e\ufeff\u2028\u2029 é e\u0301",
  "control and NUL characters": { text: "a\0b\u0001\u001f\u007f\\u0000", "ke\0y": "\0" },
  "halves of surrogate pairs": ["\ud83d", "\ude00\ud83d", { "\udfff": "\ud800x" }],
  "keys of prototypes": JSON.parse(`{"__proto__": {"polluted": true}, "constructor": {"prototype": 1}}`),
  "null alone": null,
  "empty objects, arrays and texts": [{}, [], "", [{}], { "": {} }, [[]]],
  "extreme numbers": [2 ** 53, 2 ** 64, 0.1 + 0.2, 1.7976931348623157e308, 5e-324, 1e21, 1e-7],
  "deep nesting": nested(100),
  "a megabyte": "0123456789abcdef".repeat(2 ** 16)
}
