/**
 * How the bodies of events are written to the log: as JSON, or as MessagePack.
 *
 * Each row tells by itself how it is stored, so a log may hold both, every store reads both, and the codec can be changed
 * at any time, also by one process before another.
 */
import type * as Schema from "effect/Schema"
import * as MessagePack from "./internal/messagePack.ts"

/** A body as it is stored: text is JSON and goes to the column `data`, bytes are MessagePack and go to `packed`. */
export type Body = string | Uint8Array

/** A way to write bodies; see {@link json} and {@link messagePack}. It has no say in how they are read. */
export interface Codec {
  readonly name: "json" | "messagepack"
  /** Throws what `JSON.stringify` throws on what JSON cannot hold. */
  readonly encode: (data: Schema.Json) => Body
}

/** The default. It is the faster of the two, and `psql` can read, search and aggregate the bodies. */
export const json: Codec = { name: "json", encode: (data) => JSON.stringify(data) }

/**
 * MessagePack takes about a fifth less than JSON on the wire. On the disk a log of bodies of 300 bytes takes a seventh
 * less; bodies of more than some 2 kB are compressed by PostgreSQL, which evens that out. It costs more CPU than JSON, in the
 * application, whose runtime writes and reads JSON natively. So it is worth it for a large log of small bodies whose disk
 * or network costs more than CPU does, and for little else: measure with bodies of your own.
 *
 * The price: `psql` cannot read a packed body, nor can any index or query in the database. Types, ids, versions, times and
 * metadata stay readable, and so do tombstones.
 *
 * What comes back is what comes back of JSON. A body that MessagePack would change is stored as JSON: one with half a
 * surrogate pair, a text that begins with a byte order mark, a member `__proto__`, more than 1 000 levels, or anything
 * that JSON has a way of its own with, as `toJSON`.
 *
 * @example
 * ```ts no-run
 * import * as Codec from "@composable-ts/postgres/Codec"
 * import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
 *
 * export const Events = PostgresEventStore.layer({ codec: Codec.messagePack })
 * ```
 */
export const messagePack: Codec = {
  name: "messagepack",
  encode: (data) => MessagePack.holds(data) ? MessagePack.encode(data) : JSON.stringify(data)
}
