/**
 * Dependencies point down. The linter refuses the imports it can name by pattern; here stands what it cannot know: what
 * a manifest declares, and which modules of Effect are tagged stable.
 */
import { assert, describe, it } from "@effect/vitest"
import { globSync, readdirSync, readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join, normalize } from "node:path"

const packagesFolder = join(import.meta.dirname, "..", "packages")

/** The layers below each package. A new package has to be placed here. */
const below: Readonly<Record<string, ReadonlyArray<string>>> = {
  core: [],
  postgres: ["core"],
  projections: ["core"],
  testing: ["core", "projections"]
}

/** Unstable modules of Effect that core imports all the same, each in one file only. */
const admitted: Readonly<Record<string, string>> = { "effect/schema/SchemaJITCompiler": "internal/compiled.ts" }

interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>
  readonly peerDependencies?: Readonly<Record<string, string>>
}

/** Specifiers imported by a module; doc comments do not count. */
const specifiers = (code: string): ReadonlyArray<string> =>
  [
    ...code.matchAll(/^(?:import|export)\s+(?:type\s+)?(?:[\w*{},\s$]+\sfrom\s+)?["']([^"']+)["']/gm),
    ...code.matchAll(/^(?!\s*(?:\*|\/\/)).*\bimport\(\s*["']([^"']+)["']/gm)
  ].flatMap(([, specifier]) => specifier ?? [])

const importsOf = (name: string) =>
  globSync("**/*.ts", { cwd: join(packagesFolder, name, "src") }).flatMap((file) =>
    specifiers(readFileSync(join(packagesFolder, name, "src", file), "utf8")).map((specifier) => ({ file, specifier }))
  )

const packageOf = (specifier: string): string =>
  specifier.split("/").slice(0, specifier.startsWith("@") ? 2 : 1).join("/")

const isStable = (specifier: string): boolean => {
  const module = createRequire(join(packagesFolder, "core", "package.json")).resolve(specifier)
  return readFileSync(module.replace(/\.js$/, ".d.ts"), "utf8").includes("@stability stable")
}

it("finds imports in their many forms", () => {
  const code = [
    `import "a"`,
    `import * as B from "b"`,
    `import type { C } from "c"`,
    `import {\n  D1,\n  type D2\n} from "d"`,
    `export * from "e"`,
    `export const f = "no import"`,
    `export interface X extends Y<Z> {\n  /** \n * import * as G from "g"`,
    ` * import * as G from "g"`,
    `  const h = await import("h")`,
    `// import("i")`
  ].join("\n")
  assert.deepStrictEqual(specifiers(code), ["a", "b", "c", "d", "e", "h"])
})

it("tells stable modules of Effect from others", () => {
  assert.deepStrictEqual(
    ["effect/Effect", "effect/Schema", "effect/Arbitrary", "effect/sql", "effect/sql/SqlClient"].map(isStable),
    [true, true, false, false, false]
  )
})

it("every package has its place", () => {
  assert.deepStrictEqual(readdirSync(packagesFolder).toSorted(), Object.keys(below).toSorted())
})

describe.each(Object.entries(below))("%s", (name, lower) => {
  const imports = importsOf(name)
  const manifest: Manifest = JSON.parse(readFileSync(join(packagesFolder, name, "package.json"), "utf8"))
  const declared = Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies })

  it("depends on lower layers only", () => {
    const ours = declared.filter((dependency) => dependency.startsWith("@composable-ts/"))
    assert.deepStrictEqual(ours, lower.map((layer) => `@composable-ts/${layer}`))
  })

  it("imports nothing that its users would not get", () => {
    const undeclared = imports.filter(({ file, specifier }) =>
      specifier.startsWith(".")
        ? normalize(join(dirname(file), specifier)).startsWith("..")
        : !specifier.startsWith("node:") && !declared.includes(packageOf(specifier))
    )
    assert.deepStrictEqual(undeclared, [])
  })
})

it("core relies on the stable part of Effect alone", () => {
  const unstable = importsOf("core").filter(({ file, specifier }) =>
    packageOf(specifier) === "effect" && !isStable(specifier) && admitted[specifier] !== file
  )
  assert.deepStrictEqual(unstable, [])
})
