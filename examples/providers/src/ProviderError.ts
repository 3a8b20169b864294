/**
 * How a call to a provider fails. What a provider decides, such as declining a card, is an answer and no failure.
 */
import { Schema } from "effect"

/**
 * Nobody knows what became of the request: it timed out, the connection broke, or the provider failed. Send it again, under
 * the same idempotency key.
 */
export class ProviderUnavailable
  extends Schema.TaggedError<ProviderUnavailable>()("ProviderUnavailable", { reason: Schema.String })
{
  override get message(): string {
    return `The provider gave no answer (${this.reason}), so the request may have been carried out or not. ` +
      "Send it again under the same idempotency key."
  }
}

/** The provider does not take the request as it is, so sending it again is no use: a fault of the program. */
export class ProviderRefused
  extends Schema.TaggedError<ProviderRefused>()("ProviderRefused", { status: Schema.Int, reason: Schema.String })
{
  override get message(): string {
    return `The provider refused the request with status ${this.status}: ${this.reason}. ` +
      "Most likely the key was used for another request, or the body is wrong; it must be changed before it is sent again."
  }
}

/** How a call to a provider fails. */
export type ProviderError = ProviderUnavailable | ProviderRefused
