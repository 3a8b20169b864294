/** The path of TypeScript's compiler, a script for Node, for tests that compile what is not part of the workspace. */
import { createRequire } from "node:module"
import { dirname, join } from "node:path"

export const tsc = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin", "tsc")
