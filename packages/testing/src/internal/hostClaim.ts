/**
 * Who hosts a data folder. A claim is a symbolic link `host/<generation>` in the data folder, pointing at the host's
 * socket: creating it is atomic, exclusive and carries its content. The highest generation counts, and it is in force
 * for as long as its socket accepts connections; the kernel ends that with the process, however it dies, so a reused
 * process id cannot be mistaken for a living host. The highest claim is never removed, only superseded: removing it
 * would let a slow rival, who saw it dead, claim the same number a second time.
 */
import { readdir, readlink, rm, symlink } from "node:fs/promises"
import { connect } from "node:net"
import { join } from "node:path"
import { errorCode } from "./errorCode.ts"
import { HostFailure } from "./hostProtocol.ts"
import { makeFolder } from "./makeFolder.ts"

export interface Claim {
  readonly generation: number
  readonly socketPath: string
}

const claimsFolder = (dataDir: string) => join(dataDir, "host")

const generations = async (dataDir: string): Promise<ReadonlyArray<number>> => {
  const names = await readdir(claimsFolder(dataDir)).catch((error: unknown) => {
    if (errorCode(error) === "ENOENT") return []
    throw error
  })
  return names.map(Number).filter(Number.isInteger).sort((left, right) => right - left)
}

export const newestClaim = async (dataDir: string): Promise<Claim | undefined> => {
  for (const generation of await generations(dataDir)) {
    const socketPath = await readlink(join(claimsFolder(dataDir), String(generation))).catch((error: unknown) => {
      // A newer host removed it while we looked; the next one down cannot be in force either, but the caller checks.
      if (errorCode(error) === "ENOENT") return undefined
      throw error
    })
    if (socketPath !== undefined) return { generation, socketPath }
  }
  return undefined
}

/** Whether a process listens there. Refused and absent both mean that it is gone. */
export const isListening = (socketPath: string): Promise<boolean> =>
  new Promise((resolve, reject) => {
    const socket = connect(socketPath)
    socket.once("connect", () => {
      socket.destroy()
      resolve(true)
    })
    socket.once("error", (error) => {
      const code = errorCode(error)
      if (code === "ECONNREFUSED" || code === "ENOENT") resolve(false)
      else if (code === "EAGAIN") resolve(true)
      else reject(new HostFailure("DataFolder", unreachableHost(socketPath), { cause: error }))
    })
  })

export const unreachableHost = (socketPath: string): string =>
  `The embedded PostgreSQL of this data folder is held by another user's process, whose socket ${socketPath} refuses us. `
  + "Run as that user, wait until it has ended, or choose another data folder."

/** Claims the data folder for the host that already listens on `socketPath`; false when a living host has it. */
export const claim = async (dataDir: string, socketPath: string): Promise<boolean> => {
  const folder = claimsFolder(dataDir)
  await makeFolder(folder)
  for (;;) {
    const newest = await newestClaim(dataDir)
    if (newest !== undefined && await isListening(newest.socketPath)) return false
    const generation = (newest?.generation ?? 0) + 1
    const link = join(folder, String(generation))
    try {
      await symlink(socketPath, link)
    } catch (error) {
      if (errorCode(error) === "EEXIST") continue
      throw error
    }
    // A rival that was faster may have superseded and removed the claim we looked at; then ours is not the highest.
    const [highest] = await generations(dataDir)
    if (highest === generation) {
      for (const lower of await generations(dataDir)) {
        if (lower < generation) await rm(join(folder, String(lower)), { force: true })
      }
      return true
    }
    await rm(link, { force: true })
  }
}
