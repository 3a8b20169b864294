/**
 * The packages as their users get them: packed, installed by npm into a folder that knows nothing of the workspace,
 * type-checked there under strict options, and run by plain Node without any loader.
 */
import { serverVariable } from "@composable-ts/testing/TestDatabase"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { cpSync, existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, delimiter, join } from "node:path"
import { tsc } from "./Compiler.ts"
import { execute, pack, packages } from "./Tarballs.ts"

const root = join(import.meta.dirname, "..")

interface Manifest {
  readonly name: string
  readonly version: string
  readonly description?: string
  readonly license?: string
  readonly files?: ReadonlyArray<string>
  readonly exports?: Readonly<Record<string, string | null>>
  readonly peerDependencies?: Readonly<Record<string, string>>
}
const manifest = (path: string): Manifest => JSON.parse(readFileSync(join(path, "package.json"), "utf8"))

/** `name@version` of something the workspace itself depends on, so that users are served what is tested here. */
const pinned = (name: string): string => `${name}@${manifest(join(root, "node_modules", name)).version}`

/** What the packages expect beside them, the optional ones included, so that every module can be loaded. */
const peers = new Set(
  packages.flatMap((name) => Object.keys(manifest(join(root, "packages", name)).peerDependencies ?? {}))
)

/** Specifiers of all public modules. */
const modules = packages.flatMap((name) =>
  globSync("**/*.ts", { cwd: join(root, "packages", name, "src") })
    .map((file) => file.replaceAll("\\", "/").replace(/(^|\/)index\.ts$|\.ts$/, ""))
    .filter((module) => !module.startsWith("internal/"))
    .map((module) => module === "" ? `@composable-ts/${name}` : `@composable-ts/${name}/${module}`)
    .toSorted()
)

/** The Node that runs the tests, and the one a user of this machine would get, which may be older. */
const nodes = [
  ...new Set([
    process.execPath,
    ...(process.env["PATH"] ?? "").split(delimiter)
      .filter((folder) => !folder.includes("node_modules"))
      .map((folder) => join(folder, process.platform === "win32" ? "node.exe" : "node"))
      .filter((program) => existsSync(program))
      .slice(0, 1)
  ])
]

const folder = mkdtempSync(join(tmpdir(), "composable-ts-packages-"))
const consumer = join(folder, "consumer")
const installed = (name: string): string => join(consumer, "node_modules", "@composable-ts", name)

beforeAll(async () => {
  const workspace = join(folder, "workspace")
  mkdirSync(workspace)
  mkdirSync(consumer)
  const tarballs = await pack(workspace)
  writeFileSync(join(consumer, "package.json"), JSON.stringify({ name: "consumer", private: true, type: "module" }))
  await execute(consumer, "npm", [
    "install",
    "--no-audit",
    "--no-fund",
    "--prefer-offline",
    ...tarballs,
    ...["@types/node", "vitest", ...peers].map(pinned)
  ])
}, 300_000)

afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe.each(packages)("%s", (name) => {
  it("says what it is and under which licence", () => {
    const { description, license, version } = manifest(installed(name))
    assert.isNotEmpty(description)
    assert.strictEqual(license, "MIT")
    assert.match(version, /^\d+\.\d+\.\d+/)
    assert.include(readFileSync(join(installed(name), "README.md"), "utf8"), `# @composable-ts/${name}`)
    assert.strictEqual(
      readFileSync(join(installed(name), "LICENSE"), "utf8"),
      readFileSync(join(root, "LICENSE"), "utf8")
    )
  })

  it("carries no reference to the workspace", () => {
    assert.notMatch(readFileSync(join(installed(name), "package.json"), "utf8"), /workspace:|catalog:/)
  })

  it("exports built modules with declarations, and hides the internal ones", () => {
    const { exports, files } = manifest(installed(name))
    assert.isNotEmpty(files)
    assert.deepStrictEqual(exports, { ".": "./dist/index.js", "./*": "./dist/*.js", "./internal/*": null })
    const built = globSync("dist/*.js", { cwd: installed(name) })
    const sources = globSync("src/*.ts", { cwd: join(root, "packages", name) })
    assert.deepStrictEqual(
      built.map((file) => basename(file, ".js")).toSorted(),
      sources.map((file) => basename(file, ".ts")).toSorted()
    )
    for (const file of built) assert.isTrue(existsSync(join(installed(name), file.replace(/\.js$/, ".d.ts"))), file)
  })

  it("ships neither tests nor build state", () => {
    assert.deepStrictEqual(
      globSync(["test", "**/*.test.*", "**/*.tsbuildinfo", "tsconfig*.json"], { cwd: installed(name) }),
      []
    )
  })
})

describe("a consumer", () => {
  it("type-checks strictly, declarations of the packages included", { timeout: 120_000 }, async () => {
    cpSync(join(root, "test", "consumer", "main.ts"), join(consumer, "src", "main.ts"))
    writeFileSync(
      join(consumer, "src", "modules.ts"),
      modules.map((module, index) => `export * as module${index} from ${JSON.stringify(module)}\n`).join("")
    )
    writeFileSync(
      join(consumer, "tsconfig.json"),
      JSON.stringify({
        include: ["src"],
        compilerOptions: {
          rootDir: "src",
          outDir: "dist",
          target: "ES2022",
          module: "NodeNext",
          strict: true,
          exactOptionalPropertyTypes: true,
          noUncheckedIndexedAccess: true,
          skipLibCheck: false,
          types: ["node"]
        }
      })
    )
    await execute(consumer, process.execPath, [tsc, "-p", "tsconfig.json"])
  })

  it.each(nodes)("runs under %s", { timeout: 60_000 }, async (node) => {
    const outcome = `{"state":{"openedBy":"Ada"},"version":0,"refusal":{"_tag":"AlreadyOpen","by":"Ada"}}`
    // Not the server of this test run: the installed packages have to start their own.
    const { [serverVariable]: _server, ...env } = process.env
    const output = await execute(consumer, node, ["dist/main.js"], env)
    assert.deepStrictEqual(output.trim().split("\n"), [`memory ${outcome}`, `postgres ${outcome}`])
    await execute(consumer, node, ["dist/modules.js"], env)
  })

  it("cannot reach an internal module", async () => {
    const error = await execute(consumer, process.execPath, ["-e", `import("@composable-ts/core/internal/anything")`])
      .then(
        () => undefined,
        (reason: unknown) => String(reason)
      )
    assert.include(error, "ERR_PACKAGE_PATH_NOT_EXPORTED")
  })
})
