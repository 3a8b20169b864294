/**
 * What a feature costs the type checker, in instantiations of types: unlike time, the same on every machine. Should a
 * change of the definition types need more than the budget, every user's editor would feel it.
 */
import { assert, beforeAll, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { promisify } from "node:util"
import { tsc } from "./Compiler.ts"
import { featureOf } from "./GeneratedFeature.ts"

const root = join(import.meta.dirname, "..")

const tsconfig = {
  extends: join(root, "tsconfig.base.json"),
  files: ["feature.ts"],
  compilerOptions: {
    rootDir: root,
    noEmit: true,
    composite: false,
    incremental: false,
    declarationMap: false,
    sourceMap: false
  }
}

interface Cost {
  readonly instantiations: number
  /** In seconds. */
  readonly checkTime: number
}

/** Type-checks a feature of so many events; rejects if it has an error. */
const check = async (events: number): Promise<Cost> => {
  const parent = join(root, "test", ".tsbuild")
  mkdirSync(parent, { recursive: true })
  const folder = mkdtempSync(join(parent, "budget-"))
  try {
    writeFileSync(join(folder, "feature.ts"), featureOf(events))
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(tsconfig))
    // Several checkers would share the work out differently each time, and count differently.
    const args = [tsc, "-p", "tsconfig.json", "--extendedDiagnostics", "--singleThreaded", "--pretty", "false"]
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: folder })
    const figure = (name: string): number => Number(new RegExp(`^${name}:\\s+([\\d.]+)s?$`, "m").exec(stdout)?.[1])
    return { instantiations: figure("Instantiations"), checkTime: figure("Check time") }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** The smallest feature pays for what all share: the sources of core, and the declarations of Effect. */
const fewest = 10

/** About a quarter above what was needed when this was last looked at: 380 for each event. */
const budgets = [{ events: 100, instantiations: 45_000 }, { events: 300, instantiations: 144_000 }]

describe("type-checking a feature", () => {
  let shared: Cost
  beforeAll(async () => {
    shared = await check(fewest)
  })

  it.for(budgets)("of $events events stays within its budget", { timeout: 60_000 }, async (budget, { annotate }) => {
    const { checkTime, instantiations } = await check(budget.events)
    const own = instantiations - shared.instantiations
    await annotate(
      `${budget.events} events: ${own} instantiations, ${(checkTime - shared.checkTime).toFixed(2)} s to check, ` +
        `besides ${shared.instantiations} and ${shared.checkTime.toFixed(2)} s for what all features share`
    )
    // Otherwise the feature has not been checked, whatever the figures are.
    assert.isAbove(own, 100 * budget.events)
    assert.isAtMost(own, budget.instantiations)
  })
})
