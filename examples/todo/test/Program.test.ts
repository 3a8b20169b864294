/**
 * The whole program, on a real PostgreSQL: each command is a process of its own, and the list outlives them all.
 */
import * as EmbeddedPostgres from "@composable-ts/testing/EmbeddedPostgres"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFile } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const main = new URL("../src/main.ts", import.meta.url).pathname

interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs the program in a folder. */
const todo = (folder: string, ...args: ReadonlyArray<string>) =>
  Effect.promise(() =>
    new Promise<Ended>((resolve) => {
      const { DATABASE_URL: _, INIT_CWD: __, ...env } = process.env
      execFile(
        process.execPath,
        [main, ...args],
        { cwd: folder, env },
        (error, stdout, stderr) =>
          resolve({ code: error === null ? 0 : Number(error.code), stdout: stdout.trim(), stderr: stderr.trim() })
      )
    })
  )

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "todo-test-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

it.live("adds, completes, deletes and lists, and knows what happened", () =>
  Effect.gen(function*() {
    const path = yield* folder
    // While somebody holds the server, each command finds it running, which spares the test its start.
    yield* EmbeddedPostgres.start({ dataDir: join(path, ".todo") })
    const say = (stdout: string) => ({ code: 0, stdout, stderr: "" })

    assert.deepStrictEqual(yield* todo(path, "list"), say("There is nothing to do."))
    assert.deepStrictEqual(yield* todo(path, "add", "Water the plants"), say("Added 1."))
    assert.deepStrictEqual(yield* todo(path, "add", "Call Ada"), say("Added 2."))
    assert.deepStrictEqual(yield* todo(path, "done", "1"), say("Done with 1."))
    assert.deepStrictEqual(yield* todo(path, "list"), say("[x] 1  Water the plants\n[ ] 2  Call Ada"))
    assert.deepStrictEqual(yield* todo(path, "delete", "1"), say("Deleted 1."))
    assert.deepStrictEqual(yield* todo(path, "list"), say("[ ] 2  Call Ada"))
    assert.deepStrictEqual(yield* todo(path, "add", "Read"), say("Added 3."))

    assert.deepStrictEqual(yield* todo(path, "done", "1"), {
      code: 1,
      stdout: "",
      stderr: "todo: there is no to-do 1."
    })
    assert.deepStrictEqual(yield* todo(path, "add", " "), {
      code: 1,
      stdout: "",
      stderr: "todo: a to-do needs a title."
    })

    const history = (yield* todo(path, "history")).stdout.split("\n").map((line) => line.replace(/\d{4}-\S+Z/, "TIME"))
    assert.deepStrictEqual(history, [
      "0  TIME  TodoCreated.v1  1  Water the plants",
      "1  TIME  TodoCreated.v1  2  Call Ada",
      "2  TIME  TodoCompleted.v1  1",
      "3  TIME  TodoDeleted.v1  1",
      "4  TIME  TodoCreated.v1  3  Read"
    ])

    const added = yield* Effect.all([todo(path, "add", "a"), todo(path, "add", "b")], { concurrency: "unbounded" })
    assert.deepStrictEqual(added.map(({ stdout }) => stdout).sort(), ["Added 4.", "Added 5."])
  }), 60_000)
