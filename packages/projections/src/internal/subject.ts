/**
 * What a subscriber is called in messages. All kinds share the tables, told apart by how the name begins.
 */
import type { Subscriber } from "../Lease.ts"

/** How the name of a forwarder begins among subscribers. */
export const forwarder = "forwarder:"

/** How the name of a group of the event bus begins among subscribers. */
export const group = "group:"

/** How the name of a saga begins among subscribers. */
export const saga = "saga "

/** A subscriber in messages. */
export const nameOf = ({ name, version }: Subscriber): string =>
  name.startsWith(group)
    ? `Group ${name.slice(group.length)}`
    : name.startsWith(saga)
    ? `Saga ${name.slice(saga.length)}`
    : name.startsWith(forwarder)
    ? `Forwarder ${name.slice(forwarder.length)} v${version}`
    : `Projection ${name} v${version}`

/** A subscriber in the midst of a sentence. */
export const inSentence = (subscriber: Subscriber): string => {
  const name = nameOf(subscriber)
  return name.charAt(0).toLowerCase() + name.slice(1)
}
