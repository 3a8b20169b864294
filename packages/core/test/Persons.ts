/**
 * A feature whose events hold personal data, and the stores that its tests look behind.
 */
import * as Action from "@composable-ts/core/Action"
import * as Event from "@composable-ts/core/Event"
import type * as EventStore from "@composable-ts/core/EventStore"
import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
import * as MemorySubjectKeys from "@composable-ts/core/MemorySubjectKeys"
import * as Personal from "@composable-ts/core/Personal"
import * as PersonalData from "@composable-ts/core/PersonalData"
import type { EncodedEvent, RecordedEvent } from "@composable-ts/core/RecordedEvent"
import * as StreamId from "@composable-ts/core/StreamId"
import type * as SubjectKeys from "@composable-ts/core/SubjectKeys"
import { Effect, Result, Schema } from "effect"

export const Customer = Action.define("Customer", {
  commands: {},
  events: {
    Registered: Event.v1({
      email: Personal.schema(Schema.String),
      friends: Schema.Array(Personal.schema(Schema.Json)),
      plan: Schema.String
    }),
    Noted: Event.v1({ note: Schema.Json }),
    Held: Event.v1({ value: Personal.schema(Schema.Json) })
  }
})

/** A text that must not be found anywhere. */
export const secret = "zoe@example.com"

export const encoded = (event: Action.EventOf<typeof Customer>): EncodedEvent =>
  Result.getOrThrow(Customer.encode(event))

export const registered = (subject: string, email = secret): EncodedEvent =>
  encoded(Customer.Registered({ email: Personal.present(subject, email), friends: [], plan: "free" }))

export const decoded = (recorded: RecordedEvent) => Result.getOrThrow(Customer.decode(recorded))

/** The e-mail address of an event; what is left of it otherwise. */
export const emailOf = (recorded: RecordedEvent): string => {
  const event = decoded(recorded)
  if (event._tag !== "Registered") throw new Error(`a ${event._tag} has no address`)
  return Personal.getOrElse(event.email, (subject) => `shredded ${subject}`)
}

export const stream = (id: string): StreamId.StreamId => Result.getOrThrow(StreamId.make("customer", id))

export interface Kit {
  /** The store as a program has it. */
  readonly store: EventStore.Service
  /** What it stands around: only sealed data is to be seen here. */
  readonly inner: EventStore.Service
  readonly keys: SubjectKeys.Service
  /** The look-ups of keys: each with its subjects. */
  readonly lookUps: Array<ReadonlyArray<string>>
}

/** A store in memory with its keys in memory, observed. */
export const kit = (options?: SubjectKeys.CacheOptions): Effect.Effect<Kit> =>
  Effect.gen(function*() {
    const inner = yield* MemoryEventStore.make
    const keys = yield* MemorySubjectKeys.make(options)
    const lookUps: Array<ReadonlyArray<string>> = []
    const counted: SubjectKeys.Service = {
      ...keys,
      opening: (subjects) => {
        lookUps.push([...subjects])
        return keys.opening(subjects)
      }
    }
    return { store: PersonalData.eventStore(inner, counted), inner, keys, lookUps }
  })

/** The same store, with something else in the place of what it holds. */
export const holding = (
  inner: EventStore.Service,
  change: (event: RecordedEvent) => RecordedEvent
): EventStore.Service => ({
  ...inner,
  read: (...read) => Effect.map(inner.read(...read), (events) => events.map(change))
})
