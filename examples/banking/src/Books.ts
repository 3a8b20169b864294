/**
 * The bank's books, from the log itself: every event of every account, in order.
 */
import { EventStore } from "@composable-ts/core/EventStore"
import { Effect } from "effect"
import { Account } from "./domain/Account.ts"
import * as Ledger from "./domain/Ledger.ts"

const pageSize = 1000

/** A violation, and behind which event it was first found. */
export interface Finding {
  readonly position: bigint
  readonly violations: ReadonlyArray<string>
}

/** The books, and the first thing that was wrong with them behind any single event, if there was any. */
export const audit = Effect.gen(function*() {
  const store = yield* EventStore
  let ledger = Ledger.empty
  let finding: Finding | undefined
  let after = 0n
  while (true) {
    const { events, head } = yield* store.readAll({ after, limit: pageSize })
    for (const recorded of events) {
      if (!recorded.streamId.startsWith("account-")) continue
      ledger = Ledger.record(ledger, yield* Effect.fromResult(Account.decode(recorded)))
      const violations = Ledger.violations(ledger)
      if (violations.length > 0) finding ??= { position: recorded.globalPosition, violations }
    }
    after = events.at(-1)?.globalPosition ?? head
    if (after >= head) return { ledger, finding }
  }
})
