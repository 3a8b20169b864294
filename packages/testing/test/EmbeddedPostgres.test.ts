import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, Exit, Fiber, Redacted, Scope } from "effect"
import { SqlClient } from "effect/sql"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import {
  chmod,
  chown,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  realpath,
  rm,
  stat,
  symlink,
  utimes,
  writeFile
} from "node:fs/promises"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import * as EmbeddedPostgres from "../src/EmbeddedPostgres.ts"
import { sweep } from "../src/internal/clusterPlace.ts"
import { newestClaim } from "../src/internal/hostClaim.ts"
import { findPostmaster } from "../src/internal/postmaster.ts"
import { isRunning, processTable } from "../src/internal/processTable.ts"
import { canRead, type ServiceUser, serviceUser } from "../src/internal/serviceUser.ts"

const deadlineMillis = 20_000

/** Waits until the condition holds, looking often; fails after the deadline. */
const eventually = (what: string, condition: () => Promise<boolean>) =>
  Effect.promise(async () => {
    const deadline = Date.now() + deadlineMillis
    while (!(await condition())) {
      if (Date.now() > deadline) throw new Error(`Not within ${deadlineMillis} ms: ${what}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  })

const exists = (path: string) => lstat(path).then(() => true, () => false)

/** A folder that goes with the test, open to the user that runs PostgreSQL for root. */
const folder = Effect.acquireRelease(
  Effect.promise(async () => {
    const path = await realpath(await mkdtemp(join(tmpdir(), "embedded-postgres-test-")))
    await chmod(path, 0o755)
    return path
  }),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
)

/** The processes behind a data folder: host, postmaster and its children. */
const processesOf = (dataDir: string) =>
  Effect.promise(async () => {
    const postmaster = await findPostmaster(await realpath(join(dataDir, "cluster")))
    assert.isDefined(postmaster, "no server runs on the data folder")
    const table = await processTable()
    const host = table.find((entry) => entry.pid === postmaster)?.parent
    assert.isDefined(host)
    const children = table.filter((entry) => entry.parent === postmaster).map((entry) => entry.pid)
    return { host, postmaster, all: [host, postmaster, ...children] }
  })

const allGone = (pids: ReadonlyArray<number>) => async () => !(await Promise.all(pids.map(isRunning))).includes(true)

const query = (url: Redacted.Redacted, statement: string) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe(statement)).pipe(
    Effect.provide(PgClient.layer({ url, maxConnections: 1 }))
  )

interface Holder {
  readonly child: ChildProcess
  readonly url: Redacted.Redacted
  readonly dataDir: string
}

const spawnHolder = (dataDir?: string, user?: ServiceUser) =>
  spawn(process.execPath, [
    fileURLToPath(new URL("./EmbeddedPostgres.holder.ts", import.meta.url)),
    ...(dataDir === undefined ? [] : [dataDir])
  ], { ...user, detached: true, cwd: "/", stdio: ["pipe", "pipe", "pipe"] })

/** Another process that uses a server, in a process group of its own, as under a terminal. */
const holder = (dataDir?: string, user?: ServiceUser): Effect.Effect<Holder, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const child = spawnHolder(dataDir, user)
      let complaint = ""
      child.stderr.setEncoding("utf8").on("data", (text: string) => complaint += text)
      for await (const line of createInterface(child.stdout)) {
        const { dataDir, url }: { readonly url: string; readonly dataDir: string } = JSON.parse(line)
        return { child, url: Redacted.make(url), dataDir }
      }
      throw new Error(`The holder ended without a server: ${complaint}`)
    }),
    ({ child }) => Effect.sync(() => child.kill("SIGKILL"))
  )

/** Ends an orderly holder and waits until it has. */
const leave = ({ child }: Holder) =>
  Effect.promise(async () => {
    const closed = once(child, "close")
    child.stdin?.end()
    await closed
  })

const signalGroup = ({ child }: Holder, name: NodeJS.Signals) =>
  Effect.promise(async () => {
    assert.isDefined(child.pid)
    // "close" comes when nobody holds the child's pipes any more: the host must not have inherited them.
    const closed = once(child, "close")
    process.kill(-child.pid, name)
    await closed
  })

/** Another user than root, where we are root and that user can read this program. */
const otherUser = async (): Promise<ServiceUser | undefined> => {
  const user = await serviceUser()
  return user !== undefined && await canRead(fileURLToPath(import.meta.url), user) ? user : undefined
}

const ordinary = await otherUser()

const databaseUrlUnder = (value: string) =>
  EmbeddedPostgres.databaseUrl().pipe(
    Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromUnknown({ DATABASE_URL: value }))
  )

/** Two ways to give up a start that is under way: each is given up by interrupting it. */
const abandonments = [
  [
    "interrupted",
    (dataDir: string) => Effect.scoped(Effect.andThen(EmbeddedPostgres.start({ dataDir }), Effect.never))
  ],
  ["cut off by SIGKILL", (dataDir: string) =>
    Effect.callback<void>(() => {
      const child = spawnHolder(dataDir)
      return Effect.sync(() => child.kill("SIGKILL"))
    })]
] as const

// Each has a data folder of its own.
describe("EmbeddedPostgres", { timeout: 60_000, concurrent: true }, () => {
  it.live("leaves no process and no folder when the scope ends", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const server = yield* Scope.provide(EmbeddedPostgres.start(), scope)
      assert.deepStrictEqual(yield* query(server.url, "SELECT 1 AS one"), [{ one: 1 }])
      const { all } = yield* processesOf(server.dataDir)
      yield* Scope.close(scope, Exit.void)
      assert.isFalse(yield* Effect.promise(() => exists(dirname(server.dataDir))))
      yield* eventually("the host has ended", allGone(all))
    }))

  it.live("keeps data between runs", () =>
    Effect.gen(function*() {
      const dataDir = join(yield* folder, "data")
      const use = (statement: string) =>
        Effect.scoped(Effect.flatMap(EmbeddedPostgres.start({ dataDir }), ({ url }) => query(url, statement)))
      yield* use("CREATE TABLE kept AS SELECT 42 AS answer")
      assert.deepStrictEqual(yield* use("SELECT answer FROM kept"), [{ answer: 42 }])
    }))

  it.live("lets nobody in without the password", () =>
    Effect.gen(function*() {
      const { url } = yield* EmbeddedPostgres.start()
      const wrong = new URL(Redacted.value(url))
      wrong.password = "guess"
      const error = yield* Effect.flip(query(Redacted.make(wrong.href), "SELECT 1"))
      assert.strictEqual(error.reason._tag, "AuthenticationError")
    }))

  it.live("serves two processes on one data folder, whichever leaves first", () =>
    Effect.gen(function*() {
      const dataDir = yield* folder
      const first = yield* holder(dataDir)
      const second = yield* holder(dataDir)
      assert.strictEqual(Redacted.value(second.url), Redacted.value(first.url))
      const { all } = yield* processesOf(dataDir)
      yield* leave(first)
      assert.deepStrictEqual(yield* query(second.url, "SELECT 1 AS one"), [{ one: 1 }])
      yield* leave(second)
      yield* eventually("the server has ended", allGone(all))
    }))

  it.live("has one server though ten processes start it at once on a fresh folder", () =>
    Effect.gen(function*() {
      const dataDir = join(yield* folder, "data")
      const holders = yield* Effect.all(Array.from({ length: 10 }, () => holder(dataDir)), { concurrency: 10 })
      assert.strictEqual(new Set(holders.map(({ url }) => Redacted.value(url))).size, 1)
      const { all } = yield* processesOf(dataDir)
      yield* Effect.forEach(holders, (one) => signalGroup(one, "SIGKILL"), { concurrency: 10 })
      yield* eventually("the server has ended", allGone(all))
    }))

  it.live("starts anew for a process that arrives while the server stops", () =>
    Effect.gen(function*() {
      const dataDir = yield* folder
      const start = EmbeddedPostgres.start({ dataDir })
      let scope = yield* Scope.make()
      yield* Scope.provide(start, scope)
      for (let round = 0; round < 5; round++) {
        const next = yield* Scope.make()
        const [server] = yield* Effect.all([Scope.provide(start, next), Scope.close(scope, Exit.void)], {
          concurrency: 2
        })
        assert.deepStrictEqual(yield* query(server.url, "SELECT 1 AS one"), [{ one: 1 }])
        scope = next
      }
      yield* Scope.close(scope, Exit.void)
    }))

  for (const name of ["SIGINT", "SIGKILL"] as const) {
    it.live(`leaves nothing behind a process that ends by ${name}`, () =>
      Effect.gen(function*() {
        const one = yield* holder()
        const { all } = yield* processesOf(one.dataDir)
        yield* signalGroup(one, name)
        yield* eventually("the server has ended", allGone(all))
        assert.isFalse(yield* Effect.promise(() => exists(dirname(one.dataDir))))
      }))
  }

  for (const [how, abandon] of abandonments) {
    it.live(`leaves nothing behind a start that is ${how} while the cluster is made`, () =>
      Effect.gen(function*() {
        const dataDir = yield* folder
        const abandoned = yield* Effect.forkChild(abandon(dataDir))
        // Seen late, on a busy machine, the cluster is made already; the outcome must be the same.
        yield* eventually(
          "the host is at work",
          async () => await exists(join(dataDir, "cluster.new")) || await exists(join(dataDir, "cluster"))
        )
        const socketPath = yield* Effect.promise(async () => (await newestClaim(dataDir))?.socketPath)
        assert.isDefined(socketPath)
        yield* Fiber.interrupt(abandoned)
        yield* eventually("the host has ended", async () => !(await exists(dirname(socketPath))))
        assert.isUndefined(yield* Effect.promise(() => findPostmaster(join(dataDir, "cluster"))))
        const { url } = yield* EmbeddedPostgres.start({ dataDir })
        assert.deepStrictEqual(yield* query(url, "SELECT 1 AS one"), [{ one: 1 }])
      }))
  }

  it.live("takes over a data folder whose host was killed, with its data, and ends the orphaned server", () =>
    Effect.gen(function*() {
      const dataDir = yield* folder
      const scope = yield* Scope.make()
      const first = yield* Scope.provide(EmbeddedPostgres.start({ dataDir }), scope)
      yield* query(first.url, "CREATE TABLE kept AS SELECT 42 AS answer")
      const { all, host, postmaster } = yield* processesOf(dataDir)
      process.kill(host, "SIGKILL")
      const error = yield* Effect.flip(first.stopped)
      assert.strictEqual(error.reason, "HostFailed")
      assert.isTrue(yield* Effect.promise(() => isRunning(postmaster)), "the server outlives its host")
      const second = yield* EmbeddedPostgres.start({ dataDir })
      assert.isTrue(yield* Effect.promise(allGone(all)))
      assert.deepStrictEqual(yield* query(second.url, "SELECT answer FROM kept"), [{ answer: 42 }])
      yield* Scope.close(scope, Exit.void)
    }))

  it.live("says when the server has crashed, and recovers at the next start", () =>
    Effect.gen(function*() {
      const dataDir = yield* folder
      const scope = yield* Scope.make()
      const server = yield* Scope.provide(EmbeddedPostgres.start({ dataDir }), scope)
      yield* query(server.url, "CREATE TABLE kept AS SELECT 42 AS answer")
      process.kill((yield* processesOf(dataDir)).postmaster, "SIGKILL")
      const error = yield* Effect.flip(server.stopped)
      assert.strictEqual(error.reason, "ServerStopped")
      assert.include(error.message, "SIGKILL")
      yield* Scope.close(scope, Exit.void)
      const again = yield* EmbeddedPostgres.start({ dataDir })
      assert.deepStrictEqual(yield* query(again.url, "SELECT answer FROM kept"), [{ answer: 42 }])
    }))

  it.live("kills the server with all its processes and restarts it under the same URL", () =>
    Effect.gen(function*() {
      const server = yield* EmbeddedPostgres.start()
      yield* query(server.url, "CREATE TABLE kept AS SELECT 42 AS answer")
      const { all, host } = yield* processesOf(server.dataDir)
      yield* server.kill
      yield* eventually("all but the host have ended", allGone(all.filter((pid) => pid !== host)))
      assert.strictEqual((yield* Effect.flip(query(server.url, "SELECT 1"))).reason._tag, "ConnectionError")
      yield* server.restart
      assert.deepStrictEqual(yield* query(server.url, "SELECT answer FROM kept"), [{ answer: 42 }])
      yield* server.restart
      assert.deepStrictEqual(yield* query(server.url, "SELECT answer FROM kept"), [{ answer: 42 }])
    }))

  it.live("does not mind another server on port 5432", () =>
    Effect.gen(function*() {
      yield* Effect.acquireRelease(
        Effect.callback<ReturnType<typeof createServer>>((resume) => {
          const other = createServer()
          // Taken already: then the other server is there without our doing.
          other.once("error", () => resume(Effect.succeed(other)))
          other.listen(5432, "127.0.0.1", () => resume(Effect.succeed(other)))
        }),
        (other) => Effect.sync(() => other.close())
      )
      const server = yield* EmbeddedPostgres.start()
      assert.notStrictEqual(server.port, 5432)
      assert.deepStrictEqual(yield* query(server.url, "SELECT 1 AS one"), [{ one: 1 }])
    }))

  it.live("takes settings, and refuses to share a server that has others", () =>
    Effect.gen(function*() {
      const dataDir = yield* folder
      const { url } = yield* EmbeddedPostgres.start({ dataDir, settings: { work_mem: "7MB" } })
      assert.deepStrictEqual(yield* query(url, "SHOW work_mem"), [{ work_mem: "7MB" }])
      const error = yield* Effect.flip(Effect.scoped(EmbeddedPostgres.start({ dataDir })))
      assert.strictEqual(error.reason, "SettingsDiffer")
    }))

  it.live("shows why PostgreSQL did not start, and leaves nothing", () =>
    Effect.gen(function*() {
      const dataDir = yield* folder
      const error = yield* Effect.flip(EmbeddedPostgres.start({ dataDir, settings: { no_such_setting: "1" } }))
      assert.strictEqual(error.reason, "StartFailed")
      assert.include(error.log, "unrecognized configuration parameter \"no_such_setting\"")
      assert.include(error.message, error.log)
      yield* Effect.scoped(EmbeddedPostgres.start({ dataDir }))
    }))

  it.live("says so when a data folder cannot be made", () =>
    Effect.gen(function*() {
      const file = join(yield* folder, "file")
      yield* Effect.promise(() => writeFile(file, ""))
      for (const dataDir of [file, join(file, "below"), "/dev/null/below"]) {
        const error = yield* Effect.flip(EmbeddedPostgres.start({ dataDir }))
        assert.strictEqual(error.reason, "DataFolder")
      }
    }))

  it.live("refuses a cluster of another PostgreSQL version", () =>
    Effect.gen(function*() {
      const dataDir = yield* folder
      yield* Effect.scoped(EmbeddedPostgres.start({ dataDir }))
      yield* Effect.promise(() => writeFile(join(dataDir, "cluster/PG_VERSION"), "14\n"))
      const error = yield* Effect.flip(EmbeddedPostgres.start({ dataDir }))
      assert.strictEqual(error.reason, "DataFolder")
      assert.include(error.message, "PostgreSQL 14")
    }))

  it.live("is of the version that was asked for", () =>
    Effect.gen(function*() {
      const { url } = yield* EmbeddedPostgres.start()
      const rows = yield* query(url, "SELECT current_setting('server_version_num')::int / 10000 AS major")
      assert.deepStrictEqual(rows, [{ major: Number(process.env["COMPOSABLE_POSTGRES_MAJOR"] ?? 18) }])
    }))

  it.live("uses the server that DATABASE_URL names, and starts one when it is empty", () =>
    Effect.gen(function*() {
      const named = yield* databaseUrlUnder("postgresql://me@example.invalid/mine")
      assert.strictEqual(Redacted.value(named), "postgresql://me@example.invalid/mine")
      assert.deepStrictEqual(yield* query(yield* databaseUrlUnder(""), "SELECT 1 AS one"), [{ one: 1 }])
    }))

  it.live("runs the server as an unprivileged user, and keeps the password to ourselves", () =>
    Effect.gen(function*() {
      const dataDir = yield* folder
      yield* EmbeddedPostgres.start({ dataDir })
      // PostgreSQL runs only as the owner of its cluster.
      assert.notStrictEqual((yield* Effect.promise(() => stat(join(dataDir, "cluster")))).uid, 0)
      assert.strictEqual((yield* Effect.promise(() => stat(join(dataDir, "password")))).mode & 0o777, 0o600)
    }))

  it.live("keeps the data of a folder that is closed to other users", () =>
    Effect.gen(function*() {
      const closed = yield* folder
      yield* Effect.promise(() => chmod(closed, 0o700))
      const dataDir = join(closed, "data")
      const use = (statement: string) =>
        Effect.scoped(Effect.flatMap(EmbeddedPostgres.start({ dataDir }), ({ url }) => query(url, statement)))
      yield* use("CREATE TABLE kept AS SELECT 42 AS answer")
      // Under root the cluster lies elsewhere, behind a link.
      const cluster = yield* Effect.promise(() => realpath(join(dataDir, "cluster")))
      yield* Effect.addFinalizer(() => Effect.promise(() => rm(dirname(cluster), { recursive: true, force: true })))
      assert.deepStrictEqual(yield* use("SELECT answer FROM kept"), [{ answer: 42 }])
    }))

  it.live("deletes such data when their folder has been missing for a month, and only then", () =>
    Effect.gen(function*() {
      const root = yield* folder
      const month = 31 * 24 * 60 * 60
      const place = (name: string, dataDir: string, ageSeconds: number) =>
        Effect.promise(async () => {
          const record = join(root, name, "data-folder.json")
          await mkdir(join(root, name, "cluster"), { recursive: true })
          await writeFile(record, JSON.stringify({ path: dataDir, device: (await stat(root)).dev }))
          const then = Date.now() / 1000 - ageSeconds
          await utimes(record, then, then)
        })
      const linked = yield* folder
      yield* Effect.promise(() => symlink(join(root, "linked/cluster"), join(linked, "cluster")))
      yield* place("linked", linked, month)
      yield* place("recent", join(linked, "gone"), 60)
      yield* place("deleted", join(linked, "gone"), month)
      // As of a volume that is not mounted: what is left of the path lies on another device.
      yield* place("elsewhere", "/proc/gone", month)
      yield* Effect.promise(() => sweep([root]))
      assert.deepStrictEqual((yield* Effect.promise(() => readdir(root))).sort(), ["elsewhere", "linked", "recent"])
    }))

  it.live("serves an ordinary user as well", () =>
    Effect.gen(function*() {
      const dataDir = join(yield* folder, "data")
      yield* Effect.promise(() => mkdir(dataDir))
      if (ordinary !== undefined) yield* Effect.promise(() => chown(dataDir, ordinary.uid, ordinary.gid))
      const one = yield* holder(dataDir, ordinary)
      assert.deepStrictEqual(yield* query(one.url, "SELECT 1 AS one"), [{ one: 1 }])
      const { all } = yield* processesOf(dataDir)
      yield* signalGroup(one, "SIGKILL")
      yield* eventually("the server has ended", allGone(all))
    }))
})

// Any start sweeps, and all starts share the environment.
describe("EmbeddedPostgres, undisturbed by other starts", { timeout: 60_000 }, () => {
  it.live("sweeps what a killed host left of a temporary cluster", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { dataDir } = yield* Scope.provide(EmbeddedPostgres.start(), scope)
      const { all, host } = yield* processesOf(dataDir)
      process.kill(host, "SIGKILL")
      yield* eventually("the host has ended", allGone([host]))
      assert.isTrue(yield* Effect.promise(() => exists(dataDir)))
      yield* Effect.scoped(EmbeddedPostgres.start())
      yield* eventually("the orphan has ended", allGone(all))
      assert.isFalse(yield* Effect.promise(() => exists(dirname(dataDir))))
      yield* Scope.close(scope, Exit.void)
    }))

  it.live("says so when the folder that should hold another version does not", () =>
    Effect.gen(function*() {
      const empty = yield* folder
      const before = process.env["EMBEDDED_POSTGRES_FOLDER"]
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          if (before === undefined) delete process.env["EMBEDDED_POSTGRES_FOLDER"]
          else process.env["EMBEDDED_POSTGRES_FOLDER"] = before
        })
      )
      process.env["EMBEDDED_POSTGRES_FOLDER"] = empty
      const error = yield* Effect.flip(EmbeddedPostgres.start())
      assert.strictEqual(error.reason, "BinariesMissing")
      assert.include(error.message, `EMBEDDED_POSTGRES_FOLDER is ${empty}`)
    }))
})
