/**
 * Where the cluster of a data folder lies: in it, as `cluster`, or, when the user that runs PostgreSQL cannot enter
 * the data folder (a checkout below `/root`), elsewhere with `cluster` a link to it.
 */
import { randomBytes } from "node:crypto"
import {
  chmod,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  realpath,
  rename,
  rm,
  rmdir,
  stat,
  symlink,
  writeFile
} from "node:fs/promises"
import { dirname, join } from "node:path"
import { errorCode } from "./errorCode.ts"
import { HostFailure } from "./hostProtocol.ts"
import { makeFolder } from "./makeFolder.ts"
import { findPostmaster, stopProcess } from "./postmaster.ts"
import { clusterName } from "./runtimeFolder.ts"
import { canEnter, type ServiceUser } from "./serviceUser.ts"

/** The system's folder for data that programs keep, and where that cannot be written, one that outlives a restart. */
const defaultRoots = ["/var/lib/composable-ts", "/var/tmp/composable-ts"]

const recordName = "data-folder.json"

interface PlaceRecord {
  readonly path: string
  readonly device: number
}

const ignore = () => {}

const exists = (path: string) => lstat(path).then(() => true, () => false)

/** The cluster's folder, which exists only if the cluster was made before. */
export const find = async (dataDir: string, user: ServiceUser | undefined): Promise<string> => {
  const entry = join(dataDir, clusterName)
  const stats = await lstat(entry).catch(() => undefined)
  if (stats?.isSymbolicLink()) {
    const cluster = await readlink(entry)
    if (!(await exists(dirname(cluster)))) {
      throw new HostFailure(
        "DataFolder",
        `The data of ${dataDir} were kept in ${cluster}, which is gone. If they can be spared, delete ${dataDir}.`
      )
    }
    if (user !== undefined) await writeRecord(dirname(cluster), dataDir)
    return cluster
  }
  if (user === undefined || await canEnter(dataDir, user)) return entry
  if (stats !== undefined) {
    throw new HostFailure(
      "DataFolder",
      `The data folder ${dataDir} holds a cluster, but the user that runs PostgreSQL for root (uid ${user.uid}) cannot `
        + `enter the folder. Move it to a folder that is open to all, or allow passage: chmod o+x on it and those above.`
    )
  }
  return await makePlace(dataDir, user)
}

const writeRecord = async (place: string, dataDir: string): Promise<void> => {
  const record: PlaceRecord = { path: dataDir, device: (await stat(dataDir)).dev }
  await writeFile(join(place, recordName), JSON.stringify(record), { mode: 0o600 })
}

const makePlace = async (dataDir: string, user: ServiceUser): Promise<string> => {
  for (const root of defaultRoots) {
    try {
      await mkdir(root, { mode: 0o711 })
      await chmod(root, 0o711)
    } catch (error) {
      if (errorCode(error) !== "EEXIST") continue
    }
    const stats = await lstat(root)
    const trusted = stats.isDirectory() && stats.uid === 0 && (stats.mode & 0o022) === 0
    if (!trusted || !(await canEnter(root, user))) continue
    const place = join(root, randomBytes(8).toString("hex"))
    const unfinished = `${place}.new`
    // With the root again, because a sweep may have removed the root, which was empty.
    await makeFolder(unfinished)
    await chmod(unfinished, 0o711)
    await writeRecord(unfinished, dataDir)
    // The link comes first: a place that no link points at may be swept.
    await symlink(join(place, clusterName), join(dataDir, clusterName))
    await rename(unfinished, place)
    return join(place, clusterName)
  }
  throw new HostFailure(
    "DataFolder",
    `The user that runs PostgreSQL for root (uid ${user.uid}) cannot enter ${dataDir}, and none of `
      + `${defaultRoots.join(", ")} can be used instead. Choose a data folder that is open to all, such as one in /tmp.`
  )
}

/** How long a place must have been unused before a missing data folder counts: it may have been moved. */
const unusedMillis = 30 * 24 * 60 * 60 * 1000

/** Removes the places whose data folder was deleted. */
export const sweep = async (roots: ReadonlyArray<string> = defaultRoots): Promise<void> => {
  for (const root of roots) {
    for (const name of await readdir(root).catch(() => [])) {
      const place = join(root, name)
      if (await isAbandoned(place)) {
        const cluster = join(place, clusterName)
        const pid = await exists(cluster) ? await findPostmaster(cluster) : undefined
        if (pid !== undefined) await stopProcess(pid)
        await rm(place, { recursive: true, force: true })
      }
    }
    // Gone with the last place in it; elsewhere it is not empty or not there.
    await rmdir(root).catch(ignore)
  }
}

const isAbandoned = async (place: string): Promise<boolean> => {
  const recordFile = join(place, recordName)
  const stats = await stat(recordFile).catch(() => undefined)
  if (stats === undefined || Date.now() - stats.mtimeMs < unusedMillis) return false
  const record: PlaceRecord = JSON.parse(await readFile(recordFile, "utf8"))
  const link = join(record.path, clusterName)
  if (await exists(link)) return await readlink(link).catch(() => "") !== join(place, clusterName)
  // A volume that is not mounted is not a deleted folder: what is left of its path then lies on another device.
  let ancestor = record.path
  while (!(await exists(ancestor))) ancestor = dirname(ancestor)
  return (await stat(await realpath(ancestor))).dev === record.device
}
