/**
 * On what the figures were measured.
 */
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { arch, cpus, loadavg, platform, release, totalmem } from "node:os"

/** The machine. */
export interface Machine {
  readonly platform: string
  readonly cpu: string
  readonly cpus: number
  readonly memoryGiB: number
  /** Of the last minute, when the run began: well above 0 means that others were at work, too. */
  readonly loadAverage: number
}

/** This machine, now. */
export const machine = (): Machine => {
  const processors = cpus()
  return {
    platform: `${platform()} ${release()} ${arch()}`,
    cpu: processors[0]?.model.trim() ?? "unknown",
    cpus: processors.length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    loadAverage: loadavg()[0]!
  }
}

const require = createRequire(import.meta.url)

const versionOf = (manifest: string): string =>
  (JSON.parse(readFileSync(manifest, "utf8")) as { readonly version: string }).version

/** Of Node, and of the packages that take part. */
export const versions = (): Readonly<Record<string, string>> => ({
  "composable-ts": versionOf(new URL("../../packages/core/package.json", import.meta.url).pathname),
  node: process.versions.node,
  effect: versionOf(require.resolve("effect/package.json")),
  "@effect/sql-pg": versionOf(require.resolve("@effect/sql-pg/package.json")),
  pg: versionOf(require.resolve("pg/package.json"))
})
