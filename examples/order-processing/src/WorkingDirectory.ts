/**
 * The folder that relative paths start from: where the user is.
 */
import { resolve } from "node:path"
import { fileURLToPath } from "node:url"

const packageFolder = fileURLToPath(new URL("../", import.meta.url))

/**
 * A package manager runs a script in its package's folder and says in `INIT_CWD` where the user was. Elsewhere the
 * variable may be left over from an outer script, so there it does not count.
 */
const workingDirectory = (): string => {
  const ranByScript = resolve(process.cwd()) === resolve(packageFolder)
  return ranByScript ? process.env["INIT_CWD"] ?? process.cwd() : process.cwd()
}

/** The path as the user meant it. */
export const fromUser = (path: string): string => resolve(workingDirectory(), path)
