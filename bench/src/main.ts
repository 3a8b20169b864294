/**
 * `pnpm bench`: measures, prints one table, and writes it to `bench/results`.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { mkdirSync, writeFileSync } from "node:fs"
import { join, relative } from "node:path"
import * as AllocationProfile from "./AllocationProfile.ts"
import * as Bars from "./Bars.ts"
import { parse, type Request, usage, UsageError } from "./CommandLine.ts"
import type { Experiment } from "./Contest.ts"
import * as CpuProfile from "./CpuProfile.ts"
import * as Docs from "./Docs.ts"
import * as Experiments from "./Experiments.ts"
import * as Growth from "./Growth.ts"
import * as Host from "./Host.ts"
import * as Report from "./Report.ts"
import * as Rounds from "./Rounds.ts"
import * as Row from "./Row.ts"
import { Server } from "./Server.ts"
import { markdownTable } from "./Table.ts"
import { numbers } from "./Timing.ts"

const root = join(import.meta.dirname, "../..")

const write = (folder: string, name: string, content: string): void => {
  mkdirSync(folder, { recursive: true })
  const path = join(folder, name)
  writeFileSync(path, content)
  console.log(`wrote ${relative(root, path)}`)
}

/** An experiment that fails costs its own rows and no others. */
const measure = ({ measures, open }: Experiment, { only, profile }: Request) =>
  Effect.gen(function*() {
    const wanted = measures.filter(({ id }) => only.includes(id))
    const ids = wanted.map(({ id }) => id).join(", ")
    const start = performance.now()
    console.error(`measuring ${ids} …`)
    const exit = yield* Effect.exit(
      Effect.scoped(Effect.flatMap(open(profile), (contest) => Rounds.run(contest, profile)))
    )
    console.error(`measured ${ids} in ${((performance.now() - start) / 1_000).toFixed(1)} s`)
    return Exit.isSuccess(exit)
      ? wanted.map((spec) => Row.of(spec, exit.value))
      : wanted.map(({ id }): Row.Refused => ({ id, reason: `it failed: ${Cause.pretty(exit.cause)}` }))
  })

const wantedBy = ({ only }: Request) =>
  Experiments.all.filter(({ measures }) => measures.some(({ id }) => only.includes(id)))

/** Measures the rows, and writes what came of it. */
const run = (request: Request) =>
  Effect.gen(function*() {
    const date = new Date().toISOString()
    const machine = Host.machine()
    const measured = (yield* Effect.forEach(wantedBy(request), (experiment) => measure(experiment, request))).flat()
    const facts = yield* Effect.flatMap(Server, (server) => server.facts)
    const rows: Array<Row.Row> = []
    const refused: Array<Row.Refused> = []
    for (const row of measured) {
      if (Row.isRefused(row)) refused.push(row)
      else rows.push(row)
    }
    const report: Report.Report = {
      machine: { ...machine, postgres: facts?.settings ?? null },
      versions: { ...Host.versions(), ...(facts === undefined ? {} : { postgres: facts.version }) },
      profile: request.profile.name,
      date,
      rows,
      refused,
      bars: Bars.verdicts(rows)
    }
    console.log(Report.text(report))
    for (const { id, reason } of refused) console.error(`${id}: no figure, because ${reason}`)
    write(request.results, "latest.json", `${JSON.stringify(report, undefined, 2)}\n`)
    write(request.results, "latest.md", Report.markdown(report))
    if (refused.length > 0) process.exitCode = 1
    return report
  })

const profile = (id: string, { profile, results }: Request) =>
  Effect.gen(function*() {
    const { open } = Experiments.all.find(({ measures }) => measures.some((measure) => measure.id === id))!
    const { allocated, recorded } = yield* Effect.scoped(Effect.gen(function*() {
      const { ours } = yield* open(profile)
      const rounds = (from: number, count: number) =>
        Effect.forEach(numbers(count), (round) => ours(from + round), { discard: true })
      const { rounds: count, warmUp } = profile
      yield* rounds(0, warmUp)
      // One after the other, so that neither is in the other's way.
      const [, recorded] = yield* CpuProfile.during(rounds(warmUp, count))
      const [, allocated] = yield* AllocationProfile.during(rounds(warmUp + count, count))
      return { allocated, recorded }
    }))
    console.log("self time")
    for (const { milliseconds, name, place, share } of CpuProfile.selfTimes(recorded, root).slice(0, 30)) {
      console.log(
        `${(share * 100).toFixed(1).padStart(5)} %  ${milliseconds.toFixed(0).padStart(6)} ms  ${name}  ${place}`
      )
    }
    console.log("\nallocated")
    for (const { bytes, name, place, share } of AllocationProfile.allocations(allocated, root).slice(0, 30)) {
      console.log(
        `${(share * 100).toFixed(1).padStart(5)} %  ${(bytes / 2 ** 20).toFixed(1).padStart(6)} MiB  ${name}  ${place}`
      )
    }
    write(results, `${id}.cpuprofile`, JSON.stringify(recorded))
    write(results, `${id}.heapprofile`, JSON.stringify(allocated))
  })

const grow = ({ profile, results }: Request) =>
  Effect.gen(function*() {
    const date = new Date().toISOString()
    const growth = yield* Growth.measure(profile)
    const [head, ...bars] = Report.barTable(growth.studies.flatMap((study) => study.bars))
    const text = [
      `# Growth, profile ${profile.name}`,
      "",
      ...Growth.sections(growth, ""),
      ...(head === undefined ? [] : ["## Bars", "", ...markdownTable(head, bars), ""])
    ].join("\n")
    console.log(text)
    const content = { machine: Host.machine(), versions: Host.versions(), profile: profile.name, date, ...growth }
    write(results, "growth.json", `${JSON.stringify(content, undefined, 2)}\n`)
    write(results, "growth.md", text)
    for (const [file, plot] of Growth.plots(growth)) write(results, file, plot)
    return growth
  })

const document = (docs: string, request: Request) =>
  Effect.gen(function*() {
    const report = yield* run(request)
    const growth = yield* grow(request)
    write(docs, "benchmarks.md", Docs.page(report, growth))
    for (const [file, plot] of Growth.plots(growth)) write(join(docs, "benchmarks"), file, plot)
  })

const wanted = (request: Request) => {
  if (request.cpuProfileOf !== undefined) return profile(request.cpuProfileOf, request)
  if (request.docs !== undefined) return document(request.docs, request)
  return request.subject === "growth" ? grow(request) : run(request)
}

const main = (request: Request) => Effect.provide(wanted(request), Server.layer)

try {
  const request = parse(process.argv.slice(2), Experiments.ids, join(import.meta.dirname, "../results"))
  if (request === undefined) console.log(usage(Experiments.ids))
  else await Effect.runPromise(main(request))
} catch (error) {
  if (!(error instanceof UsageError)) throw error
  console.error(`${error.message}\n\n${usage(Experiments.ids)}`)
  process.exitCode = 2
}
