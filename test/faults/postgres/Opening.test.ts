/**
 * Connections that break while a store opens, which is when it migrates the schema.
 */
import { assert } from "@effect/vitest"
import { Cause, Effect, Exit, Redacted } from "effect"
import { several, stream } from "../../../packages/postgres/test/Facts.ts"
import { random as seeded } from "../../../packages/postgres/test/NastyJson.ts"
import { openStore, suite } from "../../../packages/postgres/test/TestLog.ts"
import * as TcpProxy from "./TcpProxy.ts"

const seed = Number(process.env.FAULT_SEED ?? Date.now() % 1_000_000)

suite(`a store that opens (FAULT_SEED=${seed})`, (test) => {
  test(
    "T11, T58: a connection cut at a random byte fails it typed, and leaves nothing in its way",
    ({ url }) =>
      Effect.gen(function*() {
        const random = seeded(seed)
        const target = new URL(Redacted.value(url))
        const proxy = yield* TcpProxy.make(Number(target.port))
        target.port = String(proxy.port)
        let failures = 0
        for (let round = 0; round < 40; round++) {
          const schema = `opened_${round}`
          // A start takes about 14 kB of requests and 4 kB of replies.
          if (round % 2 === 0) proxy.cutAfter("request", Math.floor(random() * 14_000))
          else proxy.cutAfter("reply", Math.floor(random() * 4_000))
          const open = openStore({ url: Redacted.make(target.href) }, { schema })
          const exit = yield* Effect.exit(Effect.scoped(Effect.andThen(open, Effect.void)))
          if (Exit.isFailure(exit)) {
            failures++
            assert.isTrue(exit.cause.reasons.every((reason) => Cause.isFailReason(reason)), Cause.pretty(exit.cause))
          }
          proxy.resetAll()
          yield* Effect.scoped(Effect.gen(function*() {
            const store = yield* openStore({ url }, { schema })
            assert.strictEqual((yield* store.append(stream("a"), { _tag: "NoStream" }, several(1))).version, 0)
          }))
        }
        assert.isAbove(failures, 10)
      }),
    120_000
  )
})
