/** Ourselves, as one of several processes on one log: callers that append single events to streams of their own. */
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Log from "../Log.ts"
import { streamOf } from "../Order.ts"
import { databaseVariable } from "../PeerProgram.ts"
import { crowd } from "../Timing.ts"

/** What it is told. */
export interface Order {
  readonly milliseconds: number
  readonly callers: number
  /** Begins the ids of its streams. */
  readonly prefix: string
}

/** What it tells: how many appends were acknowledged, or what went wrong. */
export type Report = { readonly appends: number } | { readonly failure: string }

const appends = (log: Log.Log, { callers, milliseconds, prefix }: Order) =>
  Effect.map(
    crowd(milliseconds, callers, (caller, index) => {
      const id = `${prefix}${caller}`
      return log.events.append(streamOf(id), ExpectedVersion.exact(index - 1), Log.encoded(id, index, 1))
    }),
    ({ count }): Report => ({ appends: count })
  )

const serve = Effect.gen(function*() {
  const log = yield* Log.openAt(Redacted.make(process.env[databaseVariable] ?? ""))
  const services = yield* Effect.context<never>()
  process.on("message", (message) => {
    void Effect.runPromiseWith(services)(
      Effect.match(appends(log, message as Order), {
        onSuccess: (report) => report,
        onFailure: (error): Report => ({ failure: error.message })
      })
    ).then((report) => process.send!(report))
  })
  process.send!("ready")
  yield* Effect.callback<void>((resume) => void process.on("disconnect", () => resume(Effect.void)))
})

await Effect.runPromise(Effect.scoped(serve))
