/**
 * What the endpoints of all providers have in common: they demand an idempotency key, do things once, and fail as the
 * script says.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import { Clock, Context, Effect, Layer, Option, Schema } from "effect"
import { HttpRouter, HttpServer, HttpServerRequest, HttpServerResponse } from "effect/http"
import { createServer } from "node:http"
import * as Fault from "./Fault.ts"
import * as Ledger from "./Ledger.ts"

/** How a provider behaves. */
export interface Behaviour {
  readonly script: Fault.Script
  readonly keys: Ledger.Keys
}

/** What the endpoints of one provider share. */
export interface Shared {
  readonly ledger: Ledger.Ledger
  readonly draw: () => Fault.Fault
  readonly lateness: number
}

/** The state of a provider that begins. */
export const share = ({ keys, script }: Behaviour): Shared => ({
  ledger: new Ledger.Ledger(keys),
  draw: Fault.drawing(script),
  lateness: script.lateness
})

/** The header that names a request. */
export const keyHeader = "idempotency-key"

const problem = (status: number, title: string) =>
  HttpServerResponse.jsonUnsafe({ title }, { status, contentType: "application/problem+json" })

/** Cuts the connection: the client sees a reset. */
const reset = (request: HttpServerRequest.HttpServerRequest) =>
  Effect.andThen(
    Effect.sync(() => NodeHttpServerRequest.toServerResponse(request).socket?.destroy()),
    Effect.never
  )

/** An endpoint that does something once for each key. */
export const post = <A, B>(
  { draw, lateness, ledger }: Shared,
  path: `/${string}`,
  schemas: { readonly request: Schema.Codec<A, unknown>; readonly answer: Schema.Codec<B, unknown> },
  perform: (key: string, request: A, time: number) => B
) => {
  const encode = Schema.encodeSync(schemas.answer)
  const operation = path.slice(1)
  return HttpRouter.route(
    "POST",
    path,
    Effect.gen(function*() {
      const http = yield* HttpServerRequest.HttpServerRequest
      const key = http.headers[keyHeader]
      if (key === undefined || key === "") {
        ledger.refuse()
        return problem(400, `A request needs the header ${keyHeader}`)
      }
      const body = yield* Effect.option(HttpServerRequest.schemaBodyJson(schemas.request))
      if (Option.isNone(body)) return problem(422, "The body is not what this endpoint takes")
      const request = body.value
      ledger.called(key, operation, request)
      const done = Effect.map(Clock.currentTimeMillis, (time) => {
        const answer = ledger.once(key, operation, request, () => encode(perform(key, request, time)))
        return isKeyReused(answer)
          ? problem(409, "The key was used for another request")
          : HttpServerResponse.jsonUnsafe(answer)
      })
      switch (draw()) {
        case "none":
          return yield* done
        case "unavailable":
          return problem(503, "Try again later")
        case "failsAfterwards":
          return yield* Effect.as(done, problem(500, "Something went wrong"))
        case "resetBefore":
          return yield* reset(http)
        case "resetAfter":
          return yield* Effect.andThen(done, reset(http))
        case "late":
          // The work goes on when the client has hung up, as it does on the servers of others.
          return yield* Effect.uninterruptible(Effect.andThen(Effect.sleep(lateness), done))
        case "stalls":
          return yield* Effect.never
      }
    })
  )
}

const isKeyReused = Schema.is(Schema.TaggedStruct("KeyReused", {}))

/** An endpoint that shows what the provider was asked and did. */
export const book = ({ ledger }: Shared) =>
  HttpRouter.route("GET", "/ledger", Effect.sync(() => HttpServerResponse.jsonUnsafe(ledger.book)))

/** Serves routes on the loopback interface; port 0 is any that is free. The server is in the layer, with its address. */
export const serve = (port: number, routes: Layer.Layer<never, never, HttpRouter.HttpRouter>) =>
  HttpRouter.serve(routes, { disableLogger: true, disableListenLog: true }).pipe(
    Layer.provideMerge(NodeHttpServer.layer(createServer, {
      port,
      host: "127.0.0.1",
      gracefulShutdownTimeout: "10 millis"
    }))
  )

/** The base URL of the server of the context. */
export const url = HttpServer.addressFormattedWith((address) => Effect.succeed(address))

/** Starts a server for the length of the scope, and yields its base URL. */
export const start = <E>(server: Layer.Layer<HttpServer.HttpServer, E>) =>
  Effect.flatMap(
    Layer.build(server),
    (context) => Effect.provideContext(url, Context.pick(HttpServer.HttpServer)(context))
  )
