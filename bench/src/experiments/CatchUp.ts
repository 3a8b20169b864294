/**
 * A projection that goes through the whole log and does nothing but keep its checkpoint. The floor reads the log's pages.
 * And ten at once in one process, which should share their reads.
 */
import { EventStore, type Service } from "@composable-ts/core/EventStore"
import * as Projection from "@composable-ts/projections/Projection"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type { Experiment } from "../Contest.ts"
import { connections, work } from "../floor/Connection.ts"
import * as Log from "../Log.ts"
import { Order } from "../Order.ts"
import * as Peer from "../Peer.ts"
import type { Profile } from "../Profile.ts"
import { numbers, rate } from "../Timing.ts"

const id = "catchup.noop"
const streams = 20
const page = 500

/** A log of some streams that is there before anybody follows it, and how many events it has. */
const filled = (profile: Profile) =>
  Effect.gen(function*() {
    const log = yield* Log.open
    const count = profile.events - profile.events % streams
    yield* Effect.forEach(numbers(streams), (stream) => Log.fill(log, `${stream}`, count / streams), {
      concurrency: 4,
      discard: true
    })
    yield* log.sql`VACUUM ANALYZE composable.events`
    return { log, count }
  })

const noop: Experiment = {
  measures: [{
    id,
    unit: "events/s",
    better: "higher",
    about:
      "A projection goes through the whole log and does nothing but keep its checkpoint. The floor reads the log's " +
      "pages. Emmett keeps its checkpoint after each event."
  }],
  open: (profile) =>
    Effect.gen(function*() {
      const { count, log } = yield* filled(profile)
      const [client] = yield* connections(log.url, 1)
      return {
        floor: () =>
          work(async () => {
            let seen = 0
            let position = "0"
            const start = performance.now()
            while (seen < count) {
              const { rows } = await client!.query<[string, string, object]>({
                name: "page",
                text: `SELECT global_position, type, data FROM composable.events
                  WHERE global_position > $1 ORDER BY global_position LIMIT ${page}`,
                values: [position],
                rowMode: "array"
              })
              if (rows.length === 0) break
              position = rows.at(-1)![0]
              seen += rows.length
            }
            const { perSecond } = rate(seen, start)
            const fault = position === `${count}` ? undefined : `${seen} of ${count} events, up to ${position}`
            return { figures: { [id]: perSecond }, fault }
          }),
        ours: (round) =>
          Effect.gen(function*() {
            let last = 0n
            let seen = 0
            const handle = (_event: unknown, { globalPosition }: { readonly globalPosition: bigint }) => {
              if (globalPosition === last + 1n) seen++
              last = globalPosition
              return Effect.void
            }
            // A new version begins at the first event.
            const projection = Projection.define(Order, {
              name: "noop",
              version: round + 1,
              setUp: Effect.void,
              on: { Placed: handle, Revised: handle }
            })
            const start = performance.now()
            const reached = yield* Projection.catchUp(projection)
            const { perSecond } = rate(seen, start)
            const fault = seen === count && reached === BigInt(count)
              ? undefined
              : `${seen} of ${count} events in order, up to ${reached}`
            return { figures: { [id]: perSecond }, fault }
          }).pipe(Effect.provideContext(log.context)),
        peers: yield* Peer.emmetts(id, profile)
      }
    })
}

const ten: Experiment = {
  measures: [
    {
      id: "catchup.ten",
      unit: "events/s each",
      better: "higher",
      about: "Ten projections in one process that do nothing go through the whole log at the same time."
    },
    {
      id: "catchup.ten.reads",
      unit: "reads of the log per page of it",
      better: "lower",
      about: "How often the log is read for that: 1 is once for all ten, 10 is once for each."
    }
  ],
  open: (profile) =>
    Effect.gen(function*() {
      const { count, log } = yield* filled(profile)
      return {
        ours: (round) =>
          Effect.gen(function*() {
            const seen = new Map<string, number>()
            const done = yield* Deferred.make<void>()
            let left = 10
            const noopOf = (name: string) => {
              const handle = () => {
                const events = (seen.get(name) ?? 0) + 1
                seen.set(name, events)
                return events === count && --left === 0 ? Deferred.succeed(done, undefined) : Effect.void
              }
              return Projection.define(Order, {
                name,
                version: round + 1,
                setUp: Effect.void,
                on: { Placed: handle, Revised: handle }
              })
            }
            let reads = 0
            const counting: Service = {
              ...log.events,
              readAll: (options) => {
                if (options.limit > 0) reads++
                return log.events.readAll(options)
              }
            }
            const start = performance.now()
            const [first, ...others] = numbers(10).map((i) => noopOf(`noop${i}`))
            yield* Effect.raceFirst(Projection.run(first!, ...others), Deferred.await(done)).pipe(
              Effect.provideService(EventStore, counting)
            )
            const { perSecond } = rate(count, start)
            const isRight = [...seen.values()].every((events) => events === count) && seen.size === 10
            return {
              figures: { "catchup.ten": perSecond, "catchup.ten.reads": reads / Math.ceil(count / 2_000) },
              fault: isRight ? undefined : `${[...seen.values()].join()} of ${count} events`
            }
          }).pipe(Effect.provideContext(log.context))
      }
    })
}

export const experiments: ReadonlyArray<Experiment> = [noop, ten]
