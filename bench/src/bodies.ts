/**
 * Which column type, and which codec, the bodies of events had best have: json, jsonb, or bytea with MessagePack. The
 * store itself is measured; for jsonb its column and the casts of its functions are changed. Run by `node src/bodies.ts`,
 * on Linux and against a server on this machine, whose backends' CPU is read from /proc. Prints a table in Markdown.
 */
import * as EventStore from "@composable-ts/core/EventStore"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import type { EncodedEvent } from "@composable-ts/core/RecordedEvent"
import * as Codec from "@composable-ts/postgres/Codec"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as PgClient from "@effect/sql-pg/PgClient"
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { readFileSync } from "node:fs"
import { encodedWith, streamOf } from "./Order.ts"
import { Server } from "./Server.ts"
import { numbers, p50, sequence } from "./Timing.ts"

const rounds = 3
const milliseconds = 1_000
const streams = 3
const loaded = 1_000

const useJsonb = Effect.gen(function*() {
  const sql = yield* PgClient.PgClient
  yield* sql`ALTER TABLE composable.events ALTER data TYPE jsonb`
  for (const name of ["append", "append_one"]) {
    const [row] = yield* sql<{ text: string }>`SELECT pg_get_functiondef(${`composable.${name}`}::regproc) AS text`
    yield* sql.unsafe(row!.text.replace(/(body|e\.data)::json\b/, "$1::jsonb"))
  }
})

const variants = [
  { name: "json", codec: Codec.json, prepare: Effect.void },
  { name: "jsonb", codec: Codec.json, prepare: useJsonb },
  { name: "bytea, MessagePack", codec: Codec.messagePack, prepare: Effect.void }
] as const

const eventWith = (lines: number) => (index: number): EncodedEvent => encodedWith("1", index, lines)

const several = (make: (index: number) => EncodedEvent, count: number) =>
  numbers(count).map(make) as unknown as NonEmptyReadonlyArray<EncodedEvent>

/** CPU that a server's process has used, in microseconds; the kernel counts in hundredths of a second. */
const cpuOf = (pid: number): number => {
  const [, ...fields] = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ")
  return (Number(fields[10]) + Number(fields[11])) * 10_000
}

const open = ({ codec, name, prepare }: typeof variants[number], make: (index: number) => EncodedEvent) =>
  Effect.gen(function*() {
    const { database } = yield* Server
    const context = yield* Layer.build(
      PostgresEventStore.layer({ codec }).pipe(
        Layer.provideMerge(PgClient.layer({ url: yield* database, maxConnections: 3 }))
      )
    )
    return yield* Effect.provideContext(
      Effect.gen(function*() {
        yield* prepare
        const store = yield* EventStore.EventStore
        const sql = yield* PgClient.PgClient
        for (const stream of numbers(streams)) {
          for (const part of numbers(loaded / 100)) {
            yield* store.append(streamOf(`${stream}`), ExpectedVersion.exact(part * 100 - 1), several(make, 100))
          }
        }
        yield* sql`VACUUM ANALYZE composable.events`
        const [row] = yield* sql<{ size: number }>`
          SELECT (pg_table_size('composable.events') / ${streams * loaded}::float8)::float8 AS size`
        const one = several(make, 1)
        const ten = several(make, 10)
        const work = {
          "append of 1": () => store.append(streamOf("one"), ExpectedVersion.any, one),
          "append of 10": () => store.append(streamOf("ten"), ExpectedVersion.any, ten),
          "load of 1 000": (index: number) => store.read(streamOf(`${index % streams}`))
        }
        return { name, size: row!.size, sql, work }
      }),
      context
    )
  })

const measure = (
  { sql }: { readonly sql: PgClient.PgClient },
  work: (index: number) => Effect.Effect<unknown, Error>
) =>
  Effect.gen(function*() {
    const backends = yield* sql<{ pid: number }>`
      SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'`
    const server = () => backends.reduce((sum, { pid }) => sum + cpuOf(pid), 0)
    const serverBefore = server()
    const before = process.cpuUsage()
    const durations = yield* sequence(milliseconds, work)
    const { system, user } = process.cpuUsage(before)
    const count = durations.length
    return { p50: p50(durations), client: (system + user) / count, server: (server() - serverBefore) / count }
  })

const median = (values: ReadonlyArray<number>): number => [...values].sort((a, b) => a - b)[values.length >> 1]!

const contest = (lines: number) =>
  Effect.scoped(Effect.gen(function*() {
    const make = eventWith(lines)
    const bytes = Buffer.byteLength(JSON.stringify(make(0).data))
    const contestants = yield* Effect.forEach(variants, (variant) => open(variant, make))
    for (const operation of ["append of 1", "append of 10", "load of 1 000"] as const) {
      const figures = contestants.map(() => [] as Array<{ p50: number; client: number; server: number }>)
      for (const round of numbers(rounds + 1)) {
        for (const [i, contestant] of contestants.entries()) {
          const figure = yield* measure(contestant, contestant.work[operation])
          // The first round warms up.
          if (round > 0) figures[i]!.push(figure)
        }
      }
      for (const [i, { name, size }] of contestants.entries()) {
        const of = (key: "p50" | "client" | "server") => median(figures[i]!.map((figure) => figure[key]))
        console.log(
          `| ${bytes} | ${operation} | ${name} | ${of("p50").toFixed(2)} | ${of("client").toFixed(0)} | ${
            of("server").toFixed(0)
          } | ${size.toFixed(0)} |`
        )
      }
    }
  }))

console.log("| body, bytes | operation | column | p50, ms | client CPU, µs | server CPU, µs | disk, bytes an event |")
console.log("| ---: | --- | --- | ---: | ---: | ---: | ---: |")
await Effect.runPromise(
  Effect.provide(Effect.andThen(contest(0), contest(195)), Server.layer) as Effect.Effect<void, Error>
)
