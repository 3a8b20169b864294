/**
 * The tables of sagas, in the database of their checkpoints, as versioned migrations.
 */
import * as Effect from "effect/Effect"
import * as Migrator from "effect/sql/Migrator"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { schema } from "./schema.ts"

/** Inputs that their sagas refused. */
export const refusals = `${schema}.saga_refusals`

/** The instances of sagas. */
export const instances = `${schema}.saga_instances`

const statements = (...all: ReadonlyArray<string>) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => Effect.forEach(all, (text) => sql.unsafe(text), { discard: true }))

const migrations = Migrator.fromRecord({
  "0001_sagas": statements(
    `CREATE TABLE ${refusals} (
      saga text COLLATE "C" NOT NULL,
      position bigint NOT NULL,
      instance text COLLATE "C" NOT NULL,
      event_id uuid NOT NULL,
      event_type text NOT NULL,
      stream_id text NOT NULL,
      command text NOT NULL,
      reason text NOT NULL,
      refused_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      PRIMARY KEY (saga, position, instance)
    )`,
    `COMMENT ON TABLE ${refusals} IS
      'Inputs that a saga''s instance refused. They had no effect; somebody should look at each, and then discard it.'`,
    `COMMENT ON COLUMN ${refusals}.position IS 'The global position of the event that is the input.'`,
    `COMMENT ON COLUMN ${refusals}.command IS 'The tag of the command that was refused.'`,
    `CREATE TABLE ${instances} (
      saga text COLLATE "C" NOT NULL,
      instance text COLLATE "C" NOT NULL,
      begun_at timestamptz NOT NULL,
      moved_at timestamptz NOT NULL,
      last_event text NOT NULL,
      events bigint NOT NULL,
      ended boolean NOT NULL,
      PRIMARY KEY (saga, instance)
    ) WITH (fillfactor = 80)`,
    `COMMENT ON TABLE ${instances} IS 'A read model of the instances of sagas. It follows from the log.'`,
    `COMMENT ON COLUMN ${instances}.ended IS 'Whether the last event was one of those with which the saga ends.'`,
    `CREATE INDEX ON ${instances} (saga, moved_at, instance) WHERE NOT ended`
  )
})

/** Makes the tables, if they are missing. Any number of processes may do so at once. */
export const migrate: Effect.Effect<void, SqlError | Migrator.MigrationError, SqlClient.SqlClient> = Effect.gen(
  function*() {
    const sql = yield* SqlClient.SqlClient
    yield* sql.withTransaction(Effect.gen(function*() {
      // The lock of whoever makes something in this schema.
      yield* sql`SELECT pg_advisory_xact_lock(hashtextextended(${`composable-ts migrations ${schema}`}, 0))`
      const exists = yield* sql`SELECT FROM pg_namespace WHERE nspname = ${schema}`
      if (exists.length === 0) yield* sql.unsafe(`CREATE SCHEMA ${schema}`)
      yield* Migrator.make({})({ loader: migrations, table: `${schema}.saga_migrations` })
    }))
  }
)
