/**
 * What the cases of the contract are made of.
 */
import type { Delivery, Service, SubscribeOptions } from "@composable-ts/core/EventBus"
import * as Message from "@composable-ts/core/Message"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Case as CaseOf } from "../contract.ts"
import { counted, countFrom, freshId, noted } from "../eventStoreContract/fixture.ts"

/** One thing that an event bus must do. */
export type Case = CaseOf<Service>

/** A name that nothing else uses, for a topic or a group. */
export const freshName = (): string => `t-${freshId()}`

/** A message that tells its number. */
export const numbered = (count: number): Message.Message =>
  Message.make(counted(count), { id: freshId(), time: Date.now() })

/** A message that holds anything, beside its event and in it. */
export const holding = (note: Schema.Json): Message.Message =>
  Message.make(noted(note), { id: freshId(), time: Date.now(), metadata: { note } })

const Count = Schema.Struct({ count: Schema.Int })
const countOf = Schema.decodeUnknownSync(Count)

/** The numbers that messages tell. */
export const counts = (deliveries: ReadonlyArray<Delivery>): ReadonlyArray<number> =>
  deliveries.map(({ message }) => countOf(message.data).count)

/** Publishes messages with these numbers, each after the other. */
export const publishAll = (bus: Service, topic: string, numbers: ReadonlyArray<number>) =>
  Effect.forEach(numbers, (count) => bus.publish(topic, numbered(count)), { discard: true })

/** The first so many of a stream. */
export const first = <E>(deliveries: Stream.Stream<Delivery, E>, count: number) =>
  Stream.runCollect(Stream.take(deliveries, count))

/** The numbers from 0, as many as asked for. */
export const numbers = (count: number): ReadonlyArray<number> => countFrom(0, count)

/** Misses nothing, and may have everything of a case waiting. */
export const roomy: SubscribeOptions = { strategy: "suspend", capacity: 10_000 }

/** Misses nothing, and has its publishers wait at once. */
export const tight: SubscribeOptions = { strategy: "suspend", capacity: 1 }
