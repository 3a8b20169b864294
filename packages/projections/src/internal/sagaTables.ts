/**
 * The tables of sagas, beside their checkpoints: which inputs were refused, and what is known of the instances.
 */

/** What makes them. */
export const sagaTables = (schema: string): ReadonlyArray<string> => [
  `CREATE TABLE ${schema}.saga_refusals (
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
  `COMMENT ON TABLE ${schema}.saga_refusals IS
    'Inputs that a saga''s instance refused. They had no effect; somebody should look at each, and then discard it.'`,
  `COMMENT ON COLUMN ${schema}.saga_refusals.position IS 'The global position of the event that is the input.'`,
  `COMMENT ON COLUMN ${schema}.saga_refusals.command IS 'The tag of the command that was refused.'`,
  `CREATE TABLE ${schema}.saga_instances (
    saga text COLLATE "C" NOT NULL,
    instance text COLLATE "C" NOT NULL,
    begun_at timestamptz NOT NULL,
    moved_at timestamptz NOT NULL,
    last_event text NOT NULL,
    events bigint NOT NULL,
    ended boolean NOT NULL,
    PRIMARY KEY (saga, instance)
  ) WITH (fillfactor = 80)`,
  `COMMENT ON TABLE ${schema}.saga_instances IS 'A read model of the instances of sagas. It follows from the log.'`,
  `COMMENT ON COLUMN ${schema}.saga_instances.ended IS 'Whether the last event was one of those with which the saga ends.'`,
  `CREATE INDEX ON ${schema}.saga_instances (saga, moved_at, instance) WHERE NOT ended`
]
