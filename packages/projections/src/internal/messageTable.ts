/**
 * The tables of the event bus.
 */

/**
 * One row tells where the messages end. To publish is to move it on, and its lock is held until the commit: so positions
 * are drawn in the order of commits, and whoever reads up to the head that it sees has missed nothing before it.
 *
 * Messages are `json`, which keeps what `jsonb` refuses or changes. Their ids and keys are JSON texts, for the same
 * reason.
 */
export const messageTables = (schema: string): ReadonlyArray<string> => [
  `CREATE TABLE ${schema}.message_log (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    head bigint NOT NULL DEFAULT 0,
    trimmed bigint NOT NULL DEFAULT 0
  ) WITH (fillfactor = 10)`,
  `INSERT INTO ${schema}.message_log DEFAULT VALUES`,
  `COMMENT ON COLUMN ${schema}.message_log.head IS 'The position of the last message that was published.'`,
  `COMMENT ON COLUMN ${schema}.message_log.trimmed IS 'Messages up to this position may have been deleted.'`,
  `CREATE TABLE ${schema}.messages (
    position bigint PRIMARY KEY,
    topic text COLLATE "C" NOT NULL,
    message_id text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    key_hash bigint NOT NULL,
    message json NOT NULL,
    published_at timestamptz NOT NULL DEFAULT clock_timestamp()
  )`,
  `CREATE INDEX messages_by_topic ON ${schema}.messages (topic, position)`,
  `CREATE UNIQUE INDEX messages_once ON ${schema}.messages (topic, md5(message_id))`,
  `COMMENT ON TABLE ${schema}.messages IS
    'Messages of the event bus, in the order of their commits. Old ones are deleted once every group has handled them.'`,
  `CREATE TABLE ${schema}.message_consumers (
    name text COLLATE "C" PRIMARY KEY,
    topics text[] NOT NULL
  )`,
  `COMMENT ON TABLE ${schema}.message_consumers IS
    'Groups that consume. Their places are in checkpoints, their members in leases, as projection group:<name>.'`,
  `CREATE TABLE ${schema}.message_listeners (
    name text COLLATE "C" PRIMARY KEY,
    topics text[] NOT NULL,
    strategy text NOT NULL,
    capacity bigint NOT NULL,
    seen bigint NOT NULL,
    waiting bigint[] NOT NULL DEFAULT '{}',
    turn bigint NOT NULL DEFAULT 0
  ) WITH (fillfactor = 50)`,
  `COMMENT ON TABLE ${schema}.message_listeners IS
    'Groups that listen, for as long as they have members. Each turn gives one message to one member.'`,
  `CREATE TABLE ${schema}.message_members (
    name text COLLATE "C" NOT NULL,
    member uuid NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (name, member)
  ) WITH (fillfactor = 50)`
]
