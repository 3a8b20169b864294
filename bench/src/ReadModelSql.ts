/**
 * The statements of the read model that is measured: a row for each event, by global position.
 */

/** Makes the table. */
export const create = (table: string): string => `
  CREATE TABLE ${table} (
    position bigint PRIMARY KEY, order_id text NOT NULL, customer_id text NOT NULL, total integer NOT NULL
  )`

/** Writes one row. */
export const insert = (table: string): string => `INSERT INTO ${table} VALUES ($1, $2, $3, $4)`

/** Writes many rows; its parameters are the columns. */
export const insertAll = (table: string): string =>
  `INSERT INTO ${table} SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::int[])`
