/**
 * On what the figures were measured.
 */
import { existsSync, readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { arch, cpus, loadavg, platform, release, totalmem } from "node:os"
import { join } from "node:path"

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

/** Found by where it lies: not every package lets its manifest be imported. */
const manifestOf = (name: string): string => {
  const paths = require.resolve.paths(name) ?? []
  return paths.map((path) => join(path, name, "package.json")).find(existsSync)!
}

const versionOf = (manifest: string): string =>
  (JSON.parse(readFileSync(manifest, "utf8")) as { readonly version: string }).version

const packages = [
  "effect",
  "@effect/sql-pg",
  "pg",
  "redux",
  "@reduxjs/toolkit",
  "xstate",
  "@event-driven-io/emmett-postgresql"
]

/** Of Node, and of the packages that take part. */
export const versions = (): Readonly<Record<string, string>> => ({
  "composable-ts": versionOf(new URL("../../packages/core/package.json", import.meta.url).pathname),
  node: process.versions.node,
  ...Object.fromEntries(packages.map((name) => [name, versionOf(manifestOf(name))]))
})
