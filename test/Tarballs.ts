/**
 * Builds and packs the packages as a release would, in a copy of the workspace: a build in place would leave behind
 * what was deleted from `src`, and would write the folders that another `tsc -b` may be writing at the same time.
 */
import { execFile } from "node:child_process"
import { cpSync, existsSync, globSync, mkdirSync, readdirSync, readFileSync, realpathSync, symlinkSync } from "node:fs"
import { basename, dirname, join, relative } from "node:path"
import { promisify } from "node:util"
import { tsc } from "./Compiler.ts"

const root = join(import.meta.dirname, "..")
const run = promisify(execFile)

/** Folder names of the published packages. */
export const packages: ReadonlyArray<string> = readdirSync(join(root, "packages")).toSorted()

/** Runs a program and returns what it printed; when it fails, the error says what it printed too. */
export const execute = async (
  cwd: string,
  program: string,
  args: ReadonlyArray<string>,
  env: NodeJS.ProcessEnv = process.env
): Promise<string> => {
  try {
    return (await run(program, args, { cwd, env, maxBuffer: 64 * 1024 * 1024 })).stdout
  } catch (error) {
    if (!(error instanceof Error && "stdout" in error && "stderr" in error)) throw error
    throw new Error(`${basename(program)} ${args.join(" ")} failed in ${cwd}\n${error.stdout}${error.stderr}`, {
      cause: error
    })
  }
}

/**
 * Runs pnpm: the one that runs these tests, or else the one that the repository names. Either is right, so pnpm need not
 * ask the registry how to replace itself, which it otherwise does now and then, and fails where it gets no answer.
 */
const pnpm = (cwd: string, args: ReadonlyArray<string>): Promise<string> => {
  const current = process.env["npm_execpath"] ?? ""
  const env = { ...process.env, pnpm_config_pm_on_fail: "ignore" }
  if (!/^pnpm(\.\w+)?$/.test(basename(current))) {
    const { packageManager }: { readonly packageManager: string } = JSON.parse(
      readFileSync(join(root, "package.json"), "utf8")
    )
    return execute(cwd, "npx", ["-y", packageManager, ...args], env)
  }
  return /\.[cm]?js$/.test(current)
    ? execute(cwd, process.execPath, [current, ...args], env)
    : execute(cwd, current, args, env)
}

/** Gives a package of the copy the dependencies of the original; those on the workspace lead to the copy. */
const linkDependencies = (workspace: string, name: string): void => {
  const modules = join("packages", name, "node_modules")
  for (const dependency of globSync(["[!.@]*", "@*/*"], { cwd: join(root, modules) })) {
    const target = realpathSync(join(root, modules, dependency))
    const inside = relative(join(root, "packages"), target)
    const link = join(workspace, modules, dependency)
    mkdirSync(dirname(link), { recursive: true })
    symlinkSync(inside.startsWith("..") ? target : join(workspace, "packages", inside), link, "junction")
  }
}

/** Builds the packages in `workspace`, an empty folder, and returns the paths of their tarballs in the order of `packages`. */
export const pack = async (workspace: string): Promise<ReadonlyArray<string>> => {
  const files = [
    ...globSync(["LICENSE", "package.json", "pnpm-*.yaml", "tsconfig.base.json", "tsconfig.build.json"], { cwd: root }),
    ...packages.flatMap((name) =>
      ["package.json", "tsconfig.json", "README.md", "src"].map((file) => join("packages", name, file))
    )
  ]
  for (const file of files) {
    if (existsSync(join(root, file))) cpSync(join(root, file), join(workspace, file), { recursive: true })
  }
  symlinkSync(join(root, "node_modules"), join(workspace, "node_modules"), "junction")
  for (const name of packages) linkDependencies(workspace, name)
  await execute(workspace, process.execPath, [tsc, "-b", "tsconfig.build.json"])
  const tarballs = join(workspace, "tarballs")
  mkdirSync(tarballs)
  const paths: Array<string> = []
  for (const name of packages) {
    const tarball = join(tarballs, `${name}.tgz`)
    await pnpm(join(workspace, "packages", name), ["pack", "--out", tarball])
    paths.push(tarball)
  }
  return paths
}
