/**
 * A call to a provider: a POST under an idempotency key, with a time-out, and failures told apart by what to do about them.
 */
import { type Duration, Effect, Schema } from "effect"
import { HttpClient, HttpClientRequest, HttpClientResponse } from "effect/http"
import { keyHeader } from "./Endpoint.ts"
import { type ProviderError, ProviderRefused, ProviderUnavailable } from "./ProviderError.ts"

/** Where a provider is, and how long to wait for it. */
export interface Target {
  readonly url: string
  /** Default 2 seconds. */
  readonly timeout?: Duration.Input
}

const Problem = Schema.Struct({ title: Schema.String })

const answerOf = <B>(answer: Schema.Codec<B, unknown>, response: HttpClientResponse.HttpClientResponse) =>
  Effect.gen(function*() {
    const { status } = response
    if (status >= 500) return yield* new ProviderUnavailable({ reason: `status ${status}` })
    if (status < 400) return yield* HttpClientResponse.schemaBodyJson(answer)(response)
    const { title } = yield* HttpClientResponse.schemaBodyJson(Problem)(response)
    return yield* new ProviderRefused({ status, reason: title })
  })

/** Asks a provider for something. */
export const call = <A, B>(
  { timeout = "2 seconds", url }: Target,
  path: `/${string}`,
  schemas: { readonly request: Schema.Codec<A, unknown>; readonly answer: Schema.Codec<B, unknown> }
) => {
  const encode = Schema.encodeSync(schemas.request)
  return (idempotencyKey: string, body: A): Effect.Effect<B, ProviderError, HttpClient.HttpClient> =>
    HttpClientRequest.post(`${url}${path}`).pipe(
      HttpClientRequest.setHeader(keyHeader, idempotencyKey),
      HttpClientRequest.bodyJsonUnsafe(encode(body)),
      HttpClient.execute,
      Effect.flatMap((response) => answerOf(schemas.answer, response)),
      Effect.timeout(timeout),
      // An answer that cannot be read tells no more than none.
      Effect.catchTags({
        HttpClientError: ({ message }) => Effect.fail(new ProviderUnavailable({ reason: message })),
        SchemaError: ({ message }) => Effect.fail(new ProviderUnavailable({ reason: message })),
        TimeoutError: () => Effect.fail(new ProviderUnavailable({ reason: "timed out" }))
      })
    )
}
