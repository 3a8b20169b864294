/**
 * The control of what fences are for: a client on which a checkpoint moves for whoever asks, from wherever it stands.
 */
import type * as PgClient from "@effect/sql-pg/PgClient"

const fence = "AND epoch = $4 AND position = $5"
const nothing = "AND $4::bigint IS NOT NULL AND $5::bigint IS NOT NULL"

/** The client without the checkpoints' fence. */
export const unfenced = (client: PgClient.PgClient): PgClient.PgClient =>
  new Proxy(client, {
    get: (target, key) =>
      key === "unsafe"
        ? (text: string, parameters?: ReadonlyArray<unknown>) => target.unsafe(text.replace(fence, nothing), parameters)
        : Reflect.get(target, key)
  })
