/**
 * PostgreSQL refuses to run as root. A root process runs it under an unprivileged user that the system already has,
 * by the spawn's own uid and gid: no user is created, no password file touched.
 */
import type { Stats } from "node:fs"
import { chown, readdir, readFile, realpath, stat } from "node:fs/promises"
import { dirname, join } from "node:path"
import { HostFailure } from "./hostProtocol.ts"

export interface ServiceUser {
  readonly uid: number
  readonly gid: number
}

/** The user to run PostgreSQL as, or undefined when our own will do. */
export const serviceUser = async (): Promise<ServiceUser | undefined> => {
  if (process.getuid?.() !== 0) return undefined
  const accounts = await readFile("/etc/passwd", "utf8")
  const nobody = accounts.split("\n").map((line) => line.split(":")).find(([name]) => name === "nobody")
  const uid = Number(nobody?.[2])
  const gid = Number(nobody?.[3])
  if (!Number.isInteger(uid) || !Number.isInteger(gid) || uid === 0) {
    throw new HostFailure(
      "StartFailed",
      "PostgreSQL refuses to run as root, and /etc/passwd has no user \"nobody\" to run it as. "
        + "Run as an ordinary user, or set DATABASE_URL to a server that is already there."
    )
  }
  return { uid, gid }
}

const permits = (stats: Stats, user: ServiceUser, bits: number): boolean => {
  const shift = stats.uid === user.uid ? 6 : stats.gid === user.gid ? 3 : 0
  return ((stats.mode >> shift) & bits) === bits
}

const read = 4
const traverse = 1

/** Whether the user may enter this folder: it and every folder above it grant the right to pass. */
export const canEnter = async (folder: string, user: ServiceUser): Promise<boolean> => {
  let current = await realpath(folder)
  for (;;) {
    if (!permits(await stat(current), user, traverse)) return false
    const parent = dirname(current)
    if (parent === current) return true
    current = parent
  }
}

/** Whether the user may read this file, where it lies. */
export const canRead = async (file: string, user: ServiceUser): Promise<boolean> => {
  const actual = await realpath(file)
  return permits(await stat(actual), user, read) && await canEnter(dirname(actual), user)
}

/** Hands a folder with all that is in it to the user. */
export const handOver = async (folder: string, user: ServiceUser): Promise<void> => {
  await chown(folder, user.uid, user.gid)
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) await handOver(path, user)
    else if (entry.isFile()) await chown(path, user.uid, user.gid)
  }
}
