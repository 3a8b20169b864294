import { assert, describe, it } from "@effect/vitest"
import { parse, usage, UsageError } from "../src/CommandLine.ts"

const ids = ["a.b", "c"]
const read = (...args: ReadonlyArray<string>) => parse(args, ids, "/results")

describe("CommandLine", () => {
  it("measures all rows quickly when nothing is asked for", () => {
    const request = read()
    assert.strictEqual(request?.profile.name, "quick")
    assert.deepStrictEqual(request?.only, ids)
    assert.isUndefined(request?.cpuProfileOf)
    assert.strictEqual(request?.results, "/results")
  })

  it("takes a profile, rows, a row to profile and a folder, also behind pnpm's dashes", () => {
    const request = read("--", "--full", "--only", "c, a.b", "--profile", "c", "--results", "/elsewhere")
    assert.strictEqual(request?.profile.name, "full")
    assert.deepStrictEqual(request?.only, ["c", "a.b"])
    assert.strictEqual(request?.cpuProfileOf, "c")
    assert.strictEqual(request?.results, "/elsewhere")
  })

  it("gives help when asked, with every row's id", () => {
    assert.isUndefined(read("--help"))
    for (const id of ids) assert.include(usage(ids), id)
  })

  it("measures growth when asked, which has no rows to choose from", () => {
    assert.strictEqual(read()?.subject, "rows")
    assert.strictEqual(read("--growth", "--full")?.subject, "growth")
    assert.throws(() => read("--growth", "--only", "c"), UsageError, "--growth")
    assert.throws(() => read("--growth", "--profile", "c"), UsageError, "--growth")
  })

  it("writes the page to a folder, of all rows and growth", () => {
    assert.isUndefined(read()?.docs)
    assert.match(read("--docs", "pages")?.docs ?? "", /^\/.*\/pages$/)
    assert.throws(() => read("--docs", "pages", "--only", "c"), UsageError, "--docs")
    assert.throws(() => read("--docs", "pages", "--profile", "c"), UsageError, "--docs")
  })

  it("refuses what it does not know, rather than measuring something else", () => {
    assert.throws(() => read("--only", "d"), UsageError, "\"d\"")
    assert.throws(() => read("--profile", "d"), UsageError, "\"d\"")
    assert.throws(() => read("--fast"), UsageError)
    assert.throws(() => read("--quick", "--full"), UsageError, "--quick and --full")
  })
})
