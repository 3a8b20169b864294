import { mkdir, stat } from "node:fs/promises"
import { dirname } from "node:path"
import { errorCode } from "./errorCode.ts"

/**
 * Makes a folder with all folders above it. Node's own recursive `mkdir` never returns where a parent exists and the
 * folder still cannot be made for `ENOENT`, as in `/proc`.
 */
export const makeFolder = async (path: string): Promise<void> => {
  try {
    await makeOne(path)
  } catch (error) {
    if (errorCode(error) !== "ENOENT" || dirname(path) === path) throw error
    await makeFolder(dirname(path))
    await makeOne(path)
  }
}

const makeOne = async (path: string): Promise<void> => {
  try {
    await mkdir(path)
  } catch (error) {
    if (!(await stat(path).then((stats) => stats.isDirectory(), () => false))) throw error
  }
}
