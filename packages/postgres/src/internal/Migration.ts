/**
 * What a step of the schema says about itself.
 */

/** What the application may do with one object. Nothing else is granted to it. */
export interface Right {
  readonly on: "TABLE" | "FUNCTION"
  /** The object's name within the schema; of a function without its parameters, so no two may share it. */
  readonly object: string
  readonly privilege: "SELECT" | "INSERT" | "UPDATE" | "DELETE" | "EXECUTE"
}

/** The application may read this table. */
export const selects = (table: string): Right => ({ on: "TABLE", object: table, privilege: "SELECT" })

/** The application may do all of this with the table. */
export const uses = (table: string, ...privileges: ReadonlyArray<Right["privilege"]>): ReadonlyArray<Right> =>
  privileges.map((privilege) => ({ on: "TABLE", object: table, privilege }))

/** The application may call this function. */
export const executes = (name: string): Right => ({ on: "FUNCTION", object: name, privilege: "EXECUTE" })

/** A step of the schema. */
export interface Migration {
  readonly name: string
  /**
   * The id of the migration that a program must know at least to work on the schema from this step on. A step that only
   * adds repeats the number of the step before it: programs that do not know it go on beside those that do. A step that
   * takes away or changes what earlier programs use names the first migration whose program does without.
   */
  readonly oldestProgram: number
  readonly statements: (schema: string) => ReadonlyArray<string>
  /** All that the application may do with what this step makes. */
  readonly rights: ReadonlyArray<Right>
  /**
   * Parts without which the log cannot be trusted, each with an SQL expression that is true while it stands. They get
   * the schema's name in quotes. A later step that takes a part away takes it from here as well.
   */
  readonly parts: (quotedSchema: string) => Readonly<Record<string, string>>
}
