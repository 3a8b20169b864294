/**
 * Pages of the log that are read while those before them are applied. One waits to be taken while the one behind it is
 * read, so neither the database nor this process waits for a commit to end; no more are kept in memory.
 */
import type { LogPage } from "@composable-ts/core/EventStore"
import type { LogReadError } from "@composable-ts/core/EventStoreError"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type { Page, Reader } from "./LogReader.ts"

/** The pages behind one, up to the end of the log. */
export interface ReadAhead {
  /** The next page. Not to be asked for behind the one that ends the log. */
  readonly take: Effect.Effect<Page, LogReadError>
  /** Reads no further. */
  readonly stop: () => void
}

/** Reads on behind a page, for as long as the fiber lives that begins it. */
export const behind = (log: Reader, page: LogPage): Effect.Effect<ReadAhead> =>
  Effect.gen(function*() {
    const pages = yield* Queue.bounded<Page, LogReadError>(1)
    const readOn = Effect.gen(function*() {
      let { head, position } = page
      while (position < head) {
        const next = yield* log.read(position)
        yield* Queue.offer(pages, next)
        head = next.head
        position = next.position
      }
    })
    const reading = yield* Effect.forkChild(Effect.onError(readOn, (cause) => Queue.failCause(pages, cause)))
    return { take: Queue.take(pages), stop: () => reading.interruptUnsafe() }
  })
