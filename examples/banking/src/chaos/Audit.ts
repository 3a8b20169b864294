/**
 * The audit: whether every transfer is finished and agrees with what happened to the accounts, and the books balance.
 */
import { EventStore } from "@composable-ts/core/EventStore"
import { Effect, HashMap, Option } from "effect"
import type * as Books from "../Books.ts"
import { isFinished, transfer, type TransferState } from "../domain/Transfer.ts"

const pageSize = 1_000

/** All transfers, from the log itself. */
export const transfers = Effect.gen(function*() {
  const store = yield* EventStore
  const states = new Map<string, TransferState>()
  let after = 0n
  while (true) {
    const { events, head } = yield* store.readAll({ after, limit: pageSize })
    for (const recorded of events) {
      if (!recorded.streamId.startsWith("transfer-")) continue
      const id = recorded.streamId.slice("transfer-".length)
      const event = yield* Effect.fromResult(transfer.actions.decode(recorded))
      states.set(id, transfer.evolve(states.get(id) ?? transfer.initial, event))
    }
    after = events.at(-1)?.globalPosition ?? head
    if (after >= head) return { states, events: head }
  }
})

const flightOf = { Completed: "Credited", Failed: undefined, Compensated: "Refunded" } as const

/** What is not as it must be, in words. `paidIn` is what the customers brought, in minor units. */
export const violations = (
  states: ReadonlyMap<string, TransferState>,
  { finding, ledger }: Effect.Success<typeof Books.audit>,
  paidIn: number
): ReadonlyArray<string> => [
  ...[...states].flatMap(([id, state]) => {
    if (!isFinished(state)) return [`transfer ${id} is still ${state.status}`]
    const flight = Option.getOrUndefined(HashMap.get(ledger.flights, id))
    const expected = flightOf[state.status as keyof typeof flightOf]
    return flight?.status === expected &&
        (flight === undefined || "order" in state && flight.amount === state.order.amount)
      ? []
      : [`transfer ${id} is ${state.status}, and its money ${flight?.status ?? "nowhere"}`]
  }),
  ...[...HashMap.keys(ledger.flights)].filter((id) => !states.has(id)).map((id) => `nobody asked for transfer ${id}`),
  ...finding === undefined ? [] : finding.violations.map((text) => `at ${finding.position}: ${text}`),
  ...ledger.inFlight === 0 ? [] : [`${ledger.inFlight} are still in flight`],
  ...ledger.onAccounts === paidIn ? [] : [`${ledger.onAccounts} are on accounts, and ${paidIn} were paid in`]
]
