/**
 * The database's side of a tombstone.
 */
import { type as tombstoneType } from "@composable-ts/core/Tombstone"
import { appendPrologue, settings } from "./appendFunction.ts"
import { snapshotLock } from "./snapshotTable.ts"

/**
 * Ends a stream with a tombstone, erases data and metadata of all events before it, and deletes its snapshots and its
 * entries of the outbox, in one transaction. Lock, expected versions (`expected` is coded as in `append`) and announcement are those of `append`: to
 * readers a tombstone is an event like any other. It is stored as JSON, whatever the codec, so that anybody can read why.
 *
 * It runs with its owner's rights, so whoever may call it needs no right to change the table; and because erasing is not
 * for everyone, nobody but the owner may call it until it is granted: `GRANT EXECUTE ON FUNCTION tombstone TO …`.
 *
 * Outcomes: 0 stored, 1 version conflict (the stream stands at `actual`), 2 stored before under the same command id,
 * 3 tombstoned before (at `actual`).
 *
 * Saves of the stream's snapshots are waited for before the log is locked, so that nobody else waits for them; and from
 * then on they wait for the tombstone, which they heed, see `snapshotGuard`. The tables of snapshots and of the outbox
 * are made after this function, which finds them when it is called.
 *
 * The time that the erasing takes, about a second for 20 000 events, is time in which nobody else appends. What is erased is
 * out of every query's reach at the commit; the disk holds it until VACUUM has passed, the archived WAL and the backups
 * as long as they are kept.
 */
export const tombstoneFunction = (schema: string, channel: string): string => `
  CREATE FUNCTION ${schema}.tombstone(
    stream text, expected integer, id uuid, command text, correlation text, causation text, body text, extra text,
    OUT outcome integer, OUT actual integer, OUT placed integer, OUT place bigint
  ) LANGUAGE plpgsql
    ${settings}
  AS $$
  DECLARE
    last_type text;
  BEGIN
    PERFORM pg_advisory_xact_lock(${snapshotLock(schema, "stream")});${appendPrologue(schema)}

    outcome := 0;
    actual := -1;
    IF EXISTS (SELECT FROM ${schema}.events e WHERE e.command_id = command AND e.command_size IS NOT NULL) THEN
      outcome := 2;
      RETURN;
    END IF;
    SELECT e.version, e.type INTO actual, last_type FROM ${schema}.events e
      WHERE e.stream_id = stream ORDER BY e.version DESC LIMIT 1;
    actual := coalesce(actual, -1);
    IF last_type = '${tombstoneType}' THEN
      outcome := 3;
      RETURN;
    END IF;
    IF expected <> -3 AND expected <> actual AND NOT (expected = -2 AND actual >= 0) THEN
      outcome := 1;
      RETURN;
    END IF;

    placed := actual + 1;
    SELECT coalesce(max(global_position), 0) + 1 INTO place FROM ${schema}.events;
    INSERT INTO ${schema}.events (
      global_position, stream_id, version, type, event_id, command_id, command_size, correlation_id, causation_id,
      data, metadata, recorded_at
    ) VALUES (
      place, stream, placed, '${tombstoneType}', id, command, 1, correlation, causation,
      body::json, extra::json, clock_timestamp()
    );
    UPDATE ${schema}.events e SET data = NULL, packed = NULL, metadata = NULL
      WHERE e.stream_id = stream AND e.version < placed AND (e.data IS NOT NULL OR e.packed IS NOT NULL);
    DELETE FROM ${schema}.snapshots s WHERE s.stream_id = stream;
    DELETE FROM ${schema}.outbox o WHERE o.stream_id = stream;

    PERFORM pg_notify('${channel}', place::text);
  END $$
`
