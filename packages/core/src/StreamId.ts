/**
 * A stream is the ordered events of one aggregate instance. Its id is `category-id`: `order-10248`.
 */
import type * as Brand from "effect/Brand"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

/** The id of a stream, checked. Two ids are the same stream only when they are the same string, unnormalised. */
export type StreamId = string & Brand.Brand<"@composable-ts/core/StreamId">

/** A stream id's largest size, in bytes of UTF-8. It keeps index keys far from PostgreSQL's limit of about 2 700. */
export const maxBytes = 512

/** A category or id that cannot make up a stream id. */
export class InvalidStreamId extends Schema.TaggedError<InvalidStreamId>()("InvalidStreamId", {
  category: Schema.String,
  issue: Schema.String
}) {
  override get message(): string {
    return `Not a stream id in category ${JSON.stringify(this.category)}: ${this.issue}`
  }
}

const categoryShape = /^[A-Za-z][A-Za-z0-9_]*$/
const loneSurrogate = /\p{Surrogate}/u

/**
 * The stream of an aggregate instance.
 *
 * The category is a letter followed by letters, digits and `_`; the id any non-empty text without NUL characters, of at
 * most {@link maxBytes} together with the category.
 *
 * @example
 * ```ts
 * import * as StreamId from "@composable-ts/core/StreamId"
 * import * as Result from "effect/Result"
 *
 * Result.getOrThrow(StreamId.make("order", "10248")) // => "order-10248"
 * ```
 */
export const make = (category: string, id: string): Result.Result<StreamId, InvalidStreamId> => {
  const issue = issueOf(category, id)
  return issue === undefined
    ? Result.succeed(`${category}-${id}` as StreamId)
    : Result.fail(new InvalidStreamId({ category: category.slice(0, maxBytes), issue }))
}

const issueOf = (category: string, id: string): string | undefined => {
  if (!categoryShape.test(category)) return `the category must match ${categoryShape}`
  if (id.length === 0) return "the id is empty"
  if (id.includes("\0")) return "the id holds a NUL character, which PostgreSQL cannot store"
  if (loneSurrogate.test(id)) return "the id is not well-formed text: it holds half of a surrogate pair"
  if (category.length + 1 + atMostBytes(id) > maxBytes && category.length + 1 + bytes(id) > maxBytes) {
    return `it takes more than ${maxBytes} bytes`
  }
  return undefined
}

/** No character takes more than three bytes of UTF-8 for each of its units. Most ids are far too short to be counted. */
const atMostBytes = (text: string): number => text.length * 3

/** The text's size in UTF-8; a long text is too large whatever its characters. */
const bytes = (text: string): number =>
  text.length > maxBytes ? text.length : encodeURIComponent(text).replaceAll(/%../g, "-").length

/** The category of a stream: what stands before the first `-`. */
export const category = (streamId: StreamId): string => streamId.slice(0, streamId.indexOf("-"))

/** The instance's id: what stands behind the first `-`. */
export const id = (streamId: StreamId): string => streamId.slice(streamId.indexOf("-") + 1)
