/**
 * A host's own folder in the system's temporary folder: its socket, for a temporary cluster the data, and a link to
 * the data otherwise. `composable-ts-<uid>/<random>/{socket,data}`. It goes when the host ends; those of hosts that
 * were killed are swept by the next host to start, together with the server such a host left running.
 */
import { chmod, lstat, mkdir, mkdtemp, readdir, realpath, rm, rmdir, stat } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { errorCode } from "./errorCode.ts"
import { isListening, newestClaim } from "./hostClaim.ts"
import { HostFailure } from "./hostProtocol.ts"
import { findPostmaster, stopProcess } from "./postmaster.ts"
import { canEnter, type ServiceUser } from "./serviceUser.ts"

export const clusterName = "cluster"

const rootName = () => `composable-ts-${process.getuid?.() ?? 0}`

const bases = () => [...new Set([tmpdir(), "/tmp", "/var/tmp"])]

// A socket's path is limited to 104 bytes on macOS, 108 on Linux, the closing zero included.
const fitsSocket = (base: string) => Buffer.byteLength(join(base, rootName(), "XXXXXX", "socket.new")) < 104

const isFolder = (path: string) => stat(path).then((stats) => stats.isDirectory(), () => false)

const chooseBase = async (user: ServiceUser | undefined): Promise<string> => {
  for (const base of bases()) {
    if (fitsSocket(base) && await isFolder(base) && (user === undefined || await canEnter(base, user))) return base
  }
  throw new HostFailure(
    "DataFolder",
    `None of the temporary folders ${
      bases().join(", ")
    } can be used: each is missing, has too long a path for a socket `
      + "or is closed to the user that runs PostgreSQL. Set TMPDIR to an open folder with a short path."
  )
}

export interface RuntimeFolder {
  readonly path: string
  readonly socketPath: string
  readonly dataPath: string
}

const at = (path: string): RuntimeFolder => ({ path, socketPath: join(path, "socket"), dataPath: join(path, "data") })

export const create = async (user: ServiceUser | undefined): Promise<RuntimeFolder> => {
  const root = join(await chooseBase(user), rootName())
  // The service user must pass through to the cluster; nobody may list or write.
  const mode = user === undefined ? 0o700 : 0o711
  for (;;) {
    await mkdir(root, { mode }).catch((error: unknown) => {
      if (errorCode(error) !== "EEXIST") throw error
    })
    try {
      const stats = await lstat(root)
      if (!stats.isDirectory() || stats.uid !== (process.getuid?.() ?? stats.uid)) {
        throw new HostFailure(
          "DataFolder",
          `${root} does not belong to us, so secrets cannot be kept there. Remove it, or set TMPDIR to another folder.`
        )
      }
      if ((stats.mode & 0o777) !== mode) await chmod(root, mode)
      const path = await mkdtemp(`${root}/`)
      await chmod(path, mode)
      return at(path)
    } catch (error) {
      // Another host, the last one there, has just removed the root.
      if (errorCode(error) !== "ENOENT") throw error
    }
  }
}

/** Removes the host's folder, and the root when it was the last one in it. */
export const remove = async ({ path }: RuntimeFolder): Promise<void> => {
  await rm(path, { recursive: true, force: true })
  await rmdir(join(path, "..")).catch((error: unknown) => {
    const code = errorCode(error)
    if (code !== "ENOTEMPTY" && code !== "EEXIST" && code !== "ENOENT") throw error
  })
}

/** Ends what hosts that were killed left behind: their servers, and their folders. */
export const sweep = async (): Promise<void> => {
  for (const base of bases()) {
    const root = join(base, rootName())
    const stats = await lstat(root).catch(() => undefined)
    if (!stats?.isDirectory() || stats.uid !== process.getuid?.()) continue
    for (const name of await readdir(root).catch(() => [])) {
      const folder = at(join(root, name))
      if (await isAbandoned(folder)) {
        await stopOrphan(folder)
        await remove(folder)
      }
    }
  }
}

/** A host listens within moments of making its folder. Without a socket, only age tells the dead from the newborn. */
const newbornMillis = 60_000

const isAbandoned = async ({ path, socketPath }: RuntimeFolder): Promise<boolean> => {
  const folder = await lstat(path).catch(() => undefined)
  if (folder === undefined) return false
  const socket = await lstat(socketPath).catch(() => undefined)
  return socket === undefined ? Date.now() - folder.mtimeMs > newbornMillis : !(await isListening(socketPath))
}

const stopOrphan = async ({ dataPath, socketPath }: RuntimeFolder): Promise<void> => {
  const cluster = await realpath(join(dataPath, clusterName)).catch(() => undefined)
  if (cluster === undefined) return
  // In this order: a server found before the claim is seen to be still the dead host's cannot be a successor's.
  const pid = await findPostmaster(cluster)
  const newest = await newestClaim(dataPath)
  if (pid !== undefined && newest?.socketPath === socketPath) await stopProcess(pid)
}
