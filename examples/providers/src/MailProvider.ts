/**
 * A mail provider as a local HTTP server. It sends messages, once for each idempotency key.
 *
 * `POST /messages` takes `{ to, subject, text }`. `GET /ledger` and `GET /messages` are for tests.
 */
import { Effect, Schema } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import * as Endpoint from "./Endpoint.ts"

/** A message. */
export const Message = Schema.Struct({
  to: Schema.NonEmptyString,
  subject: Schema.NonEmptyString,
  text: Schema.String
})

/** A message. */
export type Message = typeof Message.Type

/** What became of a message. */
export const MessageAnswer = Schema.TaggedUnion({
  Sent: { messageId: Schema.String },
  Bounced: { reason: Schema.String }
})

/** What became of a message. */
export type MessageAnswer = typeof MessageAnswer.Type

/** Every message that was sent. */
export const Messages = Schema.Array(Message)

/** The provider's server; port 0 is any that is free. An address without an at sign bounces. */
export const layer = (port: number, behaviour: Endpoint.Behaviour) => {
  const shared = Endpoint.share(behaviour)
  const sent: Array<Message> = []

  const send = (key: string, message: Message): MessageAnswer => {
    if (!message.to.includes("@")) return { _tag: "Bounced", reason: `${message.to} is no address` }
    sent.push(message)
    return { _tag: "Sent", messageId: `msg_${key}` }
  }

  return Endpoint.serve(
    port,
    HttpRouter.addAll([
      Endpoint.post(shared, "/messages", { request: Message, answer: MessageAnswer }, send),
      HttpRouter.route("GET", "/messages", Effect.sync(() => HttpServerResponse.jsonUnsafe(sent))),
      Endpoint.book(shared)
    ])
  )
}
