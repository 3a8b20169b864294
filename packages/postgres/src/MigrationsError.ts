/**
 * Why a log cannot be opened, migrated or granted.
 */
import * as Schema from "effect/Schema"

/** The schema lacks migrations that this program needs. Nothing was changed. */
export class MigrationMissing extends Schema.TaggedError<MigrationMissing>()("MigrationMissing", {
  schema: Schema.String,
  /** The migrations that are missing, as `<id>_<name>`, in the order in which they would run. */
  missing: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `The log's schema "${this.schema}" lacks ${this.missing.join(", ")}, which this program needs. Run ` +
      `Migrations.migrate({ schema: "${this.schema}" }) from @composable-ts/postgres/Migrations as the role that owns ` +
      "the log, then Migrations.grant for the application's role"
  }
}

/** The schema was migrated by a newer program, in a way that this one cannot work with. Nothing was changed. */
export class SchemaTooNew extends Schema.TaggedError<SchemaTooNew>()("SchemaTooNew", {
  schema: Schema.String,
  /** The migration that rules this program out, as `<id>_<name>`. */
  migration: Schema.String,
  /** The last migration that this program knows. */
  known: Schema.String
}) {
  override get message(): string {
    return `The log's schema "${this.schema}" has ${this.migration}, which this program, knowing up to ${this.known}, ` +
      "cannot work with: a newer version of @composable-ts/postgres made it. Install that version here"
  }
}

/** Parts without which the log cannot be trusted are missing or were changed. Nothing was changed now. */
export class LogDamaged extends Schema.TaggedError<LogDamaged>()("LogDamaged", {
  schema: Schema.String,
  /** What is not as the migrations left it. */
  parts: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `The log in schema "${this.schema}" is not as its migrations left it. Missing, changed or switched off: ` +
      `${
        this.parts.join("; ")
      }. Somebody who may alter the log has done so: find out what was written meanwhile, put ` +
      "the parts back, then start again"
  }
}

/** The role lacks rights that the program needs. */
export class RightsMissing extends Schema.TaggedError<RightsMissing>()("RightsMissing", {
  schema: Schema.String,
  role: Schema.String,
  /** Such as `SELECT ON TABLE events`. */
  rights: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `Role "${this.role}" lacks ${this.rights.join(", ")} in schema "${this.schema}". Run ` +
      `Migrations.grant({ schema: "${this.schema}", role: "${this.role}" }) as the role that owns the log; it is to be ` +
      "run after each migration"
  }
}

/** A migration waited too long for a lock and gave up, so that appends need not wait behind it. Nothing was changed. */
export class MigrationBlocked extends Schema.TaggedError<MigrationBlocked>()("MigrationBlocked", {
  schema: Schema.String,
  /** How long it waited for one lock, in milliseconds. */
  waited: Schema.Finite,
  cause: Schema.Defect()
}) {
  override get message(): string {
    return `A migration of schema "${this.schema}" waited ${this.waited} ms for a lock and gave up, because appends queue ` +
      "up behind a waiting migration. A long query, an open transaction or a dump holds one of the log's tables: see " +
      "pg_stat_activity and pg_blocking_pids. Try again later, or with a longer lockTimeout"
  }
}

/** The role cannot be an application's: its rights could not be bounded by those that are granted. Nothing was granted. */
export class RoleUnfit extends Schema.TaggedError<RoleUnfit>()("RoleUnfit", {
  role: Schema.String,
  issue: Schema.String
}) {
  override get message(): string {
    return `Role "${this.role}" cannot be an application's role of the log: ${this.issue}`
  }
}
