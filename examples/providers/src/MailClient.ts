/**
 * The client of a mail provider.
 */
import { Context, Effect, Layer } from "effect"
import { HttpClient } from "effect/http"
import * as Call from "./Call.ts"
import { Message, MessageAnswer } from "./MailProvider.ts"
import type { ProviderError } from "./ProviderError.ts"

/** Sends messages, each under an idempotency key. */
export class MailClient extends Context.Service<MailClient, {
  /** Sends a message. That it bounced is an answer. */
  readonly send: (key: string, message: Message) => Effect.Effect<MessageAnswer, ProviderError>
}>()("providers/MailClient") {
  /** Calls the provider at a base URL. */
  static readonly layer = (target: Call.Target): Layer.Layer<MailClient, never, HttpClient.HttpClient> =>
    Layer.effect(
      MailClient,
      Effect.map(HttpClient.HttpClient, (client) => {
        const send = Call.call(target, "/messages", { request: Message, answer: MessageAnswer })
        return { send: (key, message) => Effect.provideService(send(key, message), HttpClient.HttpClient, client) }
      })
    )
}
