/**
 * The database's side of the log's audit.
 */
import { type as tombstoneType } from "@composable-ts/core/Tombstone"

/**
 * Whatever is wrong with the log, in one snapshot of it; nothing for a log that append() and tombstone() alone have
 * written. The log is read three times: in its own order, by commands, and stream by stream. Sorts spill to the disk, so
 * memory is bounded by `work_mem`. It locks nothing that appends need.
 */
export const verifyFunction = (schema: string): string => `
  CREATE FUNCTION ${schema}.verify(
    OUT finding text, OUT global_position bigint, OUT stream_id text, OUT version integer, OUT detail text
  ) RETURNS SETOF record LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT found.* FROM (
      SELECT e.global_position, e.stream_id, e.version, e.command_id, e.command_size,
        coalesce(lag(e.global_position) OVER in_log, 0) AS position_before,
        lag(e.command_id) OVER in_log AS command_before
      FROM ${schema}.events e WINDOW in_log AS (ORDER BY e.global_position)
    ) AS e, LATERAL (VALUES
      ('position', e.global_position <> e.position_before + 1, e.position_before + 1, NULL, NULL,
        format('it is missing: %s follows', e.global_position)),
      ('command', e.command_size IS NULL AND e.command_id IS DISTINCT FROM e.command_before,
        e.global_position, e.stream_id, e.version, 'it begins no command, and goes on with none')
    ) AS seen(finding, holds, global_position, stream_id, version, detail), LATERAL (
      SELECT seen.finding, seen.global_position, seen.stream_id, seen.version, seen.detail
    ) AS found
    WHERE seen.holds
      AND (e.global_position <> e.position_before + 1 OR e.command_size IS NULL AND e.command_id IS DISTINCT FROM e.command_before)

    UNION ALL
    SELECT 'command', e.global_position, e.stream_id, e.version,
      format('its command says %s events, and the next begins after %s', e.command_size, e.stored)
    FROM (
      SELECT e.global_position, e.stream_id, e.version, e.command_size,
        lead(e.global_position, 1, (SELECT max(last.global_position) + 1 FROM ${schema}.events last))
          OVER (ORDER BY e.global_position) - e.global_position AS stored
      FROM ${schema}.events e WHERE e.command_size IS NOT NULL
    ) AS e WHERE e.command_size <> e.stored

    UNION ALL
    SELECT found.* FROM (
      SELECT e.global_position, e.stream_id, e.version, e.type, e.data IS NULL AND e.packed IS NULL AS erased,
        coalesce(json_typeof(e.data) = 'null', false) OR coalesce(json_typeof(e.metadata) <> 'object', false)
          OR coalesce(e.packed IN ('', '\\xc0'), false) OR e.data IS NOT NULL AND e.packed IS NOT NULL AS misshapen,
        coalesce(lag(e.version) OVER in_stream, -1) AS version_before,
        coalesce(lag(e.global_position) OVER in_stream, 0) AS position_before,
        coalesce(lag(e.type) OVER in_stream = '${tombstoneType}', false) AS buried
      FROM ${schema}.events e WINDOW in_stream AS (PARTITION BY e.stream_id ORDER BY e.version)
    ) AS e, LATERAL (VALUES
      ('version', e.version <> e.version_before + 1, e.version_before + 1,
        format('it is missing: %s follows', e.version)),
      ('order', e.global_position < e.position_before, e.version,
        format('the version before it stands at position %s', e.position_before)),
      ('tombstone', e.buried, e.version, 'it stands behind a tombstone'),
      ('tombstone', e.erased AND (e.type = '${tombstoneType}' OR '${tombstoneType}' <> (
        SELECT last.type FROM ${schema}.events last WHERE last.stream_id = e.stream_id ORDER BY last.version DESC LIMIT 1
      )), e.version, 'it was erased, and no tombstone says why'),
      ('tombstone', e.type = '${tombstoneType}' AND EXISTS (
        SELECT FROM ${schema}.events kept
        WHERE kept.stream_id = e.stream_id AND kept.version < e.version AND (kept.data IS NOT NULL OR kept.packed IS NOT NULL)
      ), e.version, 'it has not erased all events before it'),
      ('shape', e.misshapen, e.version, 'its data is null or stored twice, or its metadata not a record')
    ) AS seen(finding, holds, version, detail), LATERAL (
      SELECT seen.finding, e.global_position, e.stream_id, seen.version, seen.detail
    ) AS found
    WHERE seen.holds AND (
      e.version <> e.version_before + 1 OR e.global_position < e.position_before OR e.buried OR e.erased
      OR e.type = '${tombstoneType}' OR e.misshapen
    )
  $$
`
