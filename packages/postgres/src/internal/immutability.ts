/**
 * What keeps events as they are: triggers that refuse every change but the erasure of a tombstoned stream.
 */
import { type as tombstoneType } from "@composable-ts/core/Tombstone"

/**
 * The guards hold for every role and also for replication roles (ENABLE ALWAYS), so no setting of a session switches
 * them off; only who may alter the table can. Never grant TRIGGER on it: a trigger that runs behind these could change
 * what they let through.
 *
 * The one update that passes takes data, in whichever column, and metadata away, of an event that has data and is no tombstone itself, in a
 * stream that a tombstone ends. That is looked up for each row, so it holds whoever updates, and not because `tombstone`
 * does. Rows are compared by their bytes, whatever columns there are; the function's search path keeps the comparison the
 * server's own.
 */
export const immutability = (schema: string): ReadonlyArray<string> => [
  `
  CREATE FUNCTION ${schema}.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    RAISE EXCEPTION 'events are immutable: % on %.% is refused', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
      USING ERRCODE = 'insufficient_privilege', HINT = 'Append a correcting event instead.';
  END $$`,
  `
  CREATE FUNCTION ${schema}.refuse_update() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
  AS $$
  DECLARE
    erased ${schema}.events := OLD;
  BEGIN
    erased.data := NULL;
    erased.packed := NULL;
    erased.metadata := NULL;
    IF NEW *= erased AND (OLD.data IS NOT NULL OR OLD.packed IS NOT NULL) AND OLD.type <> '${tombstoneType}'
      AND '${tombstoneType}' = (
      SELECT e.type FROM ${schema}.events e WHERE e.stream_id = OLD.stream_id ORDER BY e.version DESC LIMIT 1
    ) THEN
      RETURN NEW;
    END IF;
    RAISE EXCEPTION 'events are immutable: % on %.% is refused', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
      USING ERRCODE = 'insufficient_privilege',
        HINT = 'Append a correcting event instead; what must be forgotten, erase with a tombstone of its stream.';
  END $$`,
  `CREATE TRIGGER events_immutable BEFORE DELETE OR TRUNCATE ON ${schema}.events
    FOR EACH STATEMENT EXECUTE FUNCTION ${schema}.refuse_change()`,
  `ALTER TABLE ${schema}.events ENABLE ALWAYS TRIGGER events_immutable`,
  `CREATE TRIGGER events_erasable BEFORE UPDATE ON ${schema}.events
    FOR EACH ROW EXECUTE FUNCTION ${schema}.refuse_update()`,
  `ALTER TABLE ${schema}.events ENABLE ALWAYS TRIGGER events_erasable`
]
