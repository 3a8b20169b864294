/**
 * COPY with the `pg` driver, which has the messages for it but no call of its own.
 */
import pg from "pg"

/** What a query sends its rows by, once the server asks for them. */
interface CopyIn {
  readonly sendCopyFromChunk: (chunk: Buffer) => void
  readonly endCopyFrom: () => void
}

class CopyQuery extends pg.Query {
  readonly content: Buffer

  constructor(statement: string, content: Buffer, done: (error: Error | undefined | null) => void) {
    super(statement, (error) => done(error))
    this.content = content
  }

  /** Called by the client when the server is ready for the rows. */
  handleCopyInResponse(connection: CopyIn): void {
    connection.sendCopyFromChunk(this.content)
    connection.endCopyFrom()
  }
}

/** Runs `COPY … FROM STDIN`; the rows are in the text format. */
export const copy = (client: pg.Client, statement: string, rows: string): Promise<void> =>
  new Promise((resolve, reject) => {
    client.query(
      new CopyQuery(statement, Buffer.from(rows), (error) => error ? reject(error) : resolve())
    )
  })

/** A value in the text format. */
export const escaped = (value: string): string =>
  value.replaceAll("\\", "\\\\").replaceAll("\t", "\\t").replaceAll("\n", "\\n")
