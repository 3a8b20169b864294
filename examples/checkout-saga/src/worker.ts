/**
 * A worker: runs the saga and carries out what it wants done, until it is ended. Any number of them share the work.
 *
 *   DATABASE_URL=… PROVIDER_URL=… node src/worker.ts
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Worker from "chaos/Worker"
import { Config, Effect, Layer } from "effect"
import * as PaymentHandlers from "payment/PaymentHandlers"
import { PaymentClient } from "providers/PaymentClient"
import { layerOn, run } from "./Checkouts.ts"

/** How long to wait for the provider, in milliseconds. */
const patience = Config.Int("PROVIDER_MILLIS").pipe(Config.withDefault(2_000))

Worker.main(({ database, lease }) =>
  Effect.gen(function*() {
    const url = yield* Config.String("PROVIDER_URL")
    const timeout = yield* patience
    const handlers = PaymentHandlers.layer.pipe(
      Layer.provide(PaymentClient.layer({ url, timeout })),
      Layer.provide(NodeHttpClient.layerNodeHttp)
    )
    return yield* Effect.provide(run({ lease }), Layer.merge(handlers, layerOn(database)))
  })
)
