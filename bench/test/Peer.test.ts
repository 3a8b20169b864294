import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit } from "effect"
import { openAll } from "../src/Peer.ts"

describe("Peer", () => {
  it.live("works when it is its turn, begins anew in each, and has its result checked", () =>
    Effect.gen(function*() {
      const { redux, xstate } = yield* openAll(["redux", "xstate"], "store.dispatch", { milliseconds: 5 })
      for (const round of [0, 1, 2]) {
        for (const peer of [redux, xstate]) {
          const { fault, figures } = yield* peer(round)
          assert.isUndefined(fault)
          assert.isAbove(figures["store.dispatch"]!, 0)
        }
      }
    }).pipe(Effect.scoped))

  it.live("that has nothing for a row fails, and does not keep anyone waiting", () =>
    Effect.gen(function*() {
      const { redux } = yield* openAll(["redux"], "append1.seq", { milliseconds: 5 })
      for (const round of [0, 1]) {
        const exit = yield* Effect.exit(redux(round))
        assert.isTrue(Exit.isFailure(exit))
        assert.include(String(exit), "redux ended with code 1")
      }
    }).pipe(Effect.scoped))
})
