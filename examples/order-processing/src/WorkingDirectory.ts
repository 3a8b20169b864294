/**
 * The folder that relative paths start from: where the user is.
 */
import { dirname, resolve } from "node:path"

/**
 * A package manager runs a script in the folder of its package and says in `INIT_CWD` where the user was. Elsewhere the
 * variable may be left over from an outer script, so there it does not count.
 */
const workingDirectory = (): string => {
  const { INIT_CWD: start, npm_package_json: manifest } = process.env
  const isScript = start !== undefined && manifest !== undefined && dirname(manifest) === process.cwd()
  return isScript ? start : process.cwd()
}

/** The path as the user meant it. */
export const fromUser = (path: string): string => resolve(workingDirectory(), path)
