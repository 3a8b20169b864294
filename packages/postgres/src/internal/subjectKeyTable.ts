/**
 * The table of the subjects' keys. A key is made once and destroyed once; the row of a destroyed key stays for ever, so
 * that nobody makes another by mistake, and tells when and why.
 */

/**
 * Where a key stood is free for other rows as soon as autovacuum has been there, and until then it can be read off the
 * page: so it comes after every single shredding. The guard holds for every role and session, as that of the events.
 */
export const subjectKeyTable = (schema: string): ReadonlyArray<string> => [
  `
  CREATE TABLE ${schema}.subject_keys (
    subject text COLLATE "C" PRIMARY KEY,
    key bytea,
    wrapped boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    shredded_at timestamptz,
    reason text,
    CONSTRAINT subject_keys_key_or_shredding
      CHECK ((key IS NULL) = (shredded_at IS NOT NULL) AND (shredded_at IS NULL) = (reason IS NULL))
  ) WITH (autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0)`,
  `CREATE INDEX subject_keys_shreddings ON ${schema}.subject_keys (shredded_at, subject) WHERE shredded_at IS NOT NULL`,
  `COMMENT ON TABLE ${schema}.subject_keys IS
    'The keys of personal data, one for each subject. Erased by shredding; the row stays as its record.'`,
  `COMMENT ON COLUMN ${schema}.subject_keys.wrapped IS 'Whether the key is encrypted under the master key.'`,
  `
  CREATE FUNCTION ${schema}.guard_subject_keys() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    IF TG_OP = 'UPDATE' AND TG_LEVEL = 'ROW' AND OLD.shredded_at IS NULL AND NEW.shredded_at IS NOT NULL
      AND NEW.subject = OLD.subject AND NEW.created_at = OLD.created_at
    THEN
      RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a subject''s key is made once and shredded once: % on %.% is refused',
      TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
      USING ERRCODE = 'insufficient_privilege', HINT = 'To destroy a key, shred it: the row stays as its record.';
  END $$`,
  `CREATE TRIGGER subject_keys_change BEFORE UPDATE OR DELETE ON ${schema}.subject_keys
    FOR EACH ROW EXECUTE FUNCTION ${schema}.guard_subject_keys()`,
  `CREATE TRIGGER subject_keys_truncate BEFORE TRUNCATE ON ${schema}.subject_keys
    FOR EACH STATEMENT EXECUTE FUNCTION ${schema}.guard_subject_keys()`,
  `ALTER TABLE ${schema}.subject_keys ENABLE ALWAYS TRIGGER subject_keys_change`,
  `ALTER TABLE ${schema}.subject_keys ENABLE ALWAYS TRIGGER subject_keys_truncate`
]
