import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
import * as Outbox from "@composable-ts/core/Outbox"
import * as OutboxContract from "@composable-ts/testing/OutboxContract"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit } from "effect"

OutboxContract.suite("MemoryEventStore.layerWithOutbox", MemoryEventStore.layerWithOutbox)

describe("Outbox", () => {
  it.effect("a limit or a duration that is none dies, and says why", () =>
    Effect.gen(function*() {
      const outbox = yield* Outbox.Outbox
      const claim = { globalPosition: 1n, index: 0, token: 1n }
      for (
        const [call, issue] of [
          [outbox.claim({ limit: 0, lease: "1 second" }), /a limit of 0 entries/],
          [outbox.claim({ limit: 1.5, lease: "1 second" }), /a limit of 1.5 entries/],
          [outbox.claim({ limit: 1, lease: 0 }), /a lease of 0 ms/],
          [outbox.claim({ limit: 1, lease: "Infinity" }), /a lease of Infinity ms/],
          [outbox.retry(claim, { after: "Infinity", error: "" }), /a delay of Infinity ms/],
          [outbox.dead({ limit: NaN }), /a limit of NaN entries/]
        ] as const
      ) {
        const exit: Exit.Exit<unknown, unknown> = yield* Effect.exit(call)
        assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
        if (Exit.isFailure(exit)) assert.match(Cause.pretty(exit.cause), issue)
      }
    }).pipe(Effect.provide(MemoryEventStore.layerWithOutbox)))
})
