/**
 * A contract is worth what it catches: each fault below is a store that does one thing wrong, and the cases that must
 * notice it. The sound store passing the whole suite is `packages/core/test/MemoryEventStore.test.ts`.
 */
import type * as EventStore from "@composable-ts/core/EventStore"
import { VersionConflict } from "@composable-ts/core/EventStoreError"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
import type { EncodedEvent } from "@composable-ts/core/RecordedEvent"
import * as Tombstone from "@composable-ts/core/Tombstone"
import * as EventStoreContract from "@composable-ts/testing/EventStoreContract"
import { assert, describe, it } from "@effect/vitest"
import { type Duration, Effect, Exit, Option, Stream } from "effect"

type Service = EventStore.Service
type Fault = (store: Service) => Partial<Service>

/** A store whose every append is the faulty one, also those of {@link Service.append}. */
const transacting = (transact: Service["transact"]): Partial<Service> => ({
  transact,
  append: (streamId, expected, events, options) =>
    Effect.map(transact([{ streamId, expected, events }], options), ([result]) => result)
})

const faults: ReadonlyArray<readonly [fault: string, noticedBy: RegExp, Fault]> = [
  [
    "checks the version, and appends later",
    /64 at once/,
    (store) =>
      transacting((appends, options) =>
        Effect.gen(function*() {
          for (const { expected, streamId } of appends) {
            const actual = (yield* Effect.orDie(store.read(streamId))).length - 1
            if (!ExpectedVersion.admits(expected, actual)) return yield* store.transact(appends, options)
          }
          yield* Effect.yieldNow
          const [first, ...rest] = appends
          const anyhow = (append: EventStore.StreamAppend) => ({ ...append, expected: ExpectedVersion.any })
          return yield* store.transact([anyhow(first), ...rest.map(anyhow)], options)
        })
      )
  ],
  [
    "ignores that the stream must exist",
    /an existing stream on a stream of 0 conflicts/,
    (store) => ({
      append: (streamId, expected, events, options) =>
        store.append(
          streamId,
          expected._tag === "StreamExists" ? ExpectedVersion.any : expected,
          events,
          options
        )
    })
  ],
  [
    "reports the expected version as the actual one",
    /learn the true version/,
    (store) => ({
      append: (...append) =>
        Effect.mapError(
          store.append(...append),
          (error) => error._tag === "VersionConflict" ? Object.assign(error, { actual: 0 }) : error
        )
    })
  ],
  [
    "forgets command ids",
    /command id: a repetition/,
    (store) => transacting((appends, options) => store.transact(appends, { ...options, commandId: undefined }))
  ],
  [
    "answers a repetition with where the stream stands now",
    /though others appended since/,
    (store) => ({
      append: (streamId, ...append) =>
        Effect.flatMap(store.append(streamId, ...append), (result) =>
          result.duplicate
            ? Effect.map(Effect.orDie(store.read(streamId, { direction: "backwards", maxCount: 1 })), ([last]) => ({
              ...result,
              version: last!.version
            }))
            : Effect.succeed(result))
    })
  ],
  [
    "hides that an append is a repetition",
    /command id: a repetition/,
    (store) => ({ append: (...append) => Effect.map(store.append(...append), (r) => ({ ...r, duplicate: false })) })
  ],
  [
    "appends to one stream after the other",
    /a conflict of the third append/,
    (store) => ({
      transact: ([first, ...rest], options) =>
        Effect.flatMap(store.transact([first], options), (done) =>
          Effect.map(
            Effect.forEach(rest, (append) => store.transact([append], { ...options, commandId: undefined })),
            (more) => [...done, ...more.flat()]
          ))
    })
  ],
  [
    "takes bounds of backward reads the other way round",
    /read: bounds/,
    (store) => ({
      read: (streamId, { direction, from, to, ...rest } = {}) =>
        direction === "backwards"
          ? store.read(streamId, { direction, from: to, to: from, ...rest })
          : store.read(streamId, { from, to, ...rest })
    })
  ],
  [
    "reads one too many",
    /read: bounds/,
    (store) => ({
      read: (streamId, options = {}) =>
        store.read(streamId, {
          ...options,
          maxCount: options.maxCount === undefined ? undefined : options.maxCount + 1
        })
    })
  ],
  [
    "ends a long load after its first page",
    /load: 2200 events/,
    (store) => ({
      load: (streamId, options) => Stream.fromIterableEffect(store.read(streamId, { maxCount: 500, ...options }))
    })
  ],
  [
    "stays where it is when no event of a page fits",
    /move on when none fits/,
    (store) => ({
      readAll: (options) =>
        Effect.map(store.readAll(options), (page) => ({
          ...page,
          position: page.events.at(-1)?.globalPosition ?? options.after
        }))
    })
  ],
  [
    "jumps to the head when events are filtered",
    /omit none/,
    (store) => ({
      readAll: (options) =>
        Effect.map(
          store.readAll(options),
          (page) => options.names === undefined ? page : { ...page, position: page.head }
        )
    })
  ],
  [
    "loses what came between catching up and following",
    /subscribe: /,
    (store) => ({
      subscribe: ({ after, names }) =>
        Stream.unwrap(Effect.gen(function*() {
          const { events } = yield* store.readAll({ after, limit: 1_000_000, names })
          yield* Effect.yieldNow
          const { head } = yield* store.readAll({ after: 0n, limit: 1 })
          return Stream.concat(Stream.fromIterable(events), store.subscribe({ after: head, names }))
        }))
    })
  ],
  [
    "delivers an event twice at the seam",
    /without gap or duplicate/,
    (store) => ({
      subscribe: ({ after, names }) =>
        Stream.unwrap(
          Effect.map(store.readAll({ after, limit: 100, names }), ({ events, position }) =>
            Stream.concat(Stream.fromIterable(events), store.subscribe({ after: position - 1n, names })))
        )
    })
  ],
  [
    "waits for positions that the log has lost",
    /behind the end of the log/,
    (store) => ({
      subscribe: ({ after, names }) =>
        Stream.unwrap(
          Effect.map(store.listen, (appended) =>
            Stream.paginate(after, (after) =>
              Effect.map(store.readAll({ after, limit: 500, names }), ({ events, position }) =>
                [events, Option.some(position)] as const).pipe(
                  Effect.tap(([events]) =>
                    events.length === 0 ? appended : Effect.void
                  )
                )))
        )
    })
  ],
  [
    "hears only what comes while someone waits",
    /however late it begins/,
    (store) => ({ listen: Effect.succeed(Effect.orDie(Effect.scoped(Effect.flatten(store.listen)))) })
  ],
  [
    "lets a subscriber wait for ever",
    /idle at the head/,
    (store) => ({
      subscribe: ({ after, names }) =>
        Stream.paginate(
          after,
          (after) =>
            Effect.map(store.readAll({ after, limit: 1_000, names }), ({ events, head, position }) => [
              events,
              position < head ? Option.some(position) : Option.none()
            ])
        )
    })
  ],
  [
    "drops the correlation id",
    /correlation and cause/,
    (store) => transacting((appends, options) => store.transact(appends, { ...options, correlationId: undefined }))
  ],
  [
    "drops the metadata",
    /metadata comes back/,
    (store) => transacting((appends, options) => store.transact(appends, { ...options, metadata: undefined }))
  ],
  [
    "records seconds",
    /time is now, in milliseconds/,
    (store) => ({
      readAll: (options) =>
        Effect.map(store.readAll(options), (page) => ({
          ...page,
          events: page.events.map((event) => Object.assign({}, event, { recordedAt: event.recordedAt / 1_000 }))
        }))
    })
  ],
  [
    "loses NUL characters, as PostgreSQL's jsonb would",
    /NUL characters comes back exactly/,
    (store) => ({
      read: (...read) =>
        Effect.map(store.read(...read), (events) =>
          JSON.parse(
            JSON.stringify(events, (_key, value: unknown) => typeof value === "bigint" ? `${value}` : value).replaceAll(
              "\\u0000",
              ""
            )
          ))
    })
  ],
  [
    "hands out what it keeps",
    /changing the list that was read/,
    (store) => {
      const kept = new Map<string, ReturnType<Service["read"]>>()
      return {
        read: (streamId, options) => {
          if (options !== undefined) return store.read(streamId, options)
          const read = kept.get(streamId) ??
            Effect.runSync(Effect.cached(Effect.map(store.read(streamId), (e) => [...e])))
          kept.set(streamId, read)
          return read
        }
      }
    }
  ],
  [
    "ends a stream, and erases nothing",
    /tombstone: the events before it stay in place, without data/,
    (store) => ({
      tombstone: (streamId, expected, { reason, ...options }) =>
        store.append(streamId, expected, [{ ...Tombstone.encode(reason), type: "Ended.v1" } as EncodedEvent], options)
    })
  ],
  [
    "erases a stream whatever the tombstone expected",
    /tombstone: version 0 on a stream of 2 conflicts/,
    (store) => ({ tombstone: (streamId, _, options) => store.tombstone(streamId, ExpectedVersion.any, options) })
  ],
  [
    "forgets the command ids of tombstones",
    /tombstone: repeated with its command id/,
    (store) => ({
      tombstone: (streamId, expected, options) =>
        store.tombstone(streamId, expected, { ...options, commandId: undefined })
    })
  ],
  [
    "shows a tombstoned stream as one that never was",
    /reads of the stream fail/,
    (store) => ({
      read: (...read) => Effect.catchTag(store.read(...read), "StreamTombstoned", () => Effect.succeed([]))
    })
  ],
  [
    "does not mark what is erased",
    /once each at the seam/,
    (store) => ({
      subscribe: (options) =>
        Stream.map(store.subscribe(options), (event) => Object.assign({}, event, { erased: undefined }))
    })
  ],
  [
    "leaves erased events out of the log",
    /tombstone: the log is read by name as ever/,
    (store) => ({
      readAll: (options) =>
        Effect.map(store.readAll(options), (page) => ({
          ...page,
          events: page.events.filter(({ erased }) => erased !== true)
        }))
    })
  ],
  [
    "leaves tombstoned streams out of a transact",
    /a transact whose second stream is erased stores none/,
    (store) => ({
      transact: (appends, options) =>
        Effect.catchTag(
          store.transact(appends, options),
          "StreamTombstoned",
          ({ streamId }) => store.transact(appends.filter((append) => append.streamId !== streamId) as never, options)
        )
    })
  ],
  [
    "calls it a conflict when a stream is erased",
    /behind it an append that expects any version is refused/,
    (store) => ({
      append: (streamId, expected, ...append) =>
        Effect.catchTag(
          store.append(streamId, expected, ...append),
          "StreamTombstoned",
          ({ version }) => Effect.fail(new VersionConflict({ streamId, expected, actual: version }))
        )
    })
  ],
  [
    "accepts an append of nothing",
    /refuses an append to no stream/,
    (store) => ({
      transact: (appends, options) =>
        appends.length === 0 ? Effect.succeed([] as never) : store.transact(appends, options)
    })
  ]
]

/** The names of the cases that a store with this fault fails: also those that it makes hang. */
const failedBy = (fault: Fault, patience: Duration.Input) =>
  Effect.gen(function*() {
    const sound = yield* MemoryEventStore.make
    const store: Service = { ...sound, ...fault(sound) }
    const failed: Array<string> = []
    for (const { check, name } of EventStoreContract.cases) {
      const exit = yield* Effect.exit(Effect.timeout(Effect.scoped(check(store)), patience))
      if (Exit.isFailure(exit)) failed.push(name)
    }
    return failed
  })

describe("EventStoreContract", () => {
  it("has cases of different names", () => {
    const names = EventStoreContract.cases.map(({ name }) => name)
    assert.strictEqual(new Set(names).size, names.length)
    assert.isAtLeast(names.length, 60)
  })

  it.live("holds for a sound store", () =>
    Effect.map(failedBy(() => ({}), "30 seconds"), (failed) => assert.deepStrictEqual(failed, [])))

  for (const [name, noticedBy, fault] of faults) {
    it.live(`catches a store that ${name}`, () =>
      Effect.map(failedBy(fault, "500 millis"), (failed) => {
        assert.isTrue(failed.some((name) => noticedBy.test(name)), `failed: ${failed.join("; ") || "nothing"}`)
        assert.isBelow(failed.length, EventStoreContract.cases.length, "a fault should not fail everything")
      }), 60_000)
  }
})
