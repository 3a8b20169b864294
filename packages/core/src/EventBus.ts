/**
 * Topics on which a program tells of its events to whoever listens now, as a service. The bus is for news; the log is
 * for facts. Whoever must not miss an event reads the log: `EventStore.subscribe`, or a projection.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import {
  type ConsumeError,
  type DeliveryFailed,
  type EventBusError,
  InvalidSubscription,
  InvalidTopic,
  type PublishError,
  type SubscribeError
} from "./EventBusError.ts"
import type { Message } from "./Message.ts"

/**
 * What happens to a message when a subscriber has as many waiting as it asked to keep:
 *
 * - `suspend`: it waits until there is room, so none is lost; a bus in memory makes the publisher wait with it.
 * - `sliding`: the oldest waiting message gives way.
 * - `dropping`: the new message gives way.
 */
export type Strategy = "suspend" | "sliding" | "dropping"

/** How to subscribe. */
export interface SubscribeOptions {
  /** What happens when messages come faster than they are taken. */
  readonly strategy: Strategy
  /** How many messages wait for the subscriber, or for its group, at the most. Default {@link defaultCapacity}. */
  readonly capacity?: number | undefined
  /**
   * Share the messages with the others of this name: each goes to one of them. A group's members all ask for the same
   * topics, capacity and strategy; one that asks for something else is refused. Default: every message comes here.
   */
  readonly group?: string | undefined
}

/** How to consume: as a member of a group that handles each message at least once. */
export interface ConsumeOptions {
  /** The group; its members all ask for the same topics, and one that asks for others is refused. */
  readonly group: string
  /** How many messages, each of another key, are handled here at a time. A bus may divide that further. Default 1. */
  readonly concurrency?: number | undefined
  /** When to try again a message whose handler failed or died. Default {@link defaultRetry}. */
  readonly retry?: Schedule.Schedule<unknown, unknown> | undefined
}

/** After a tenth of a second, then twice as long each time, at most five seconds: nine times, about 30 seconds. */
export const defaultRetry: Schedule.Schedule<unknown, unknown> = Schedule.min([
  Schedule.exponential("100 millis"),
  Schedule.spaced("5 seconds")
]).pipe(Schedule.jittered, Schedule.upTo({ times: 9 }))

/** What one who consumes asks for, as an implementation gets it: checked and complete. */
export interface Consumption {
  /** Each one once, sorted. */
  readonly topics: NonEmptyReadonlyArray<string>
  readonly group: string
  readonly concurrency: number
  readonly retry: Schedule.Schedule<unknown, unknown>
}

/** Handles a message. When it succeeds, and not before, the message is done for the group. */
export type Handler<in out R> = (delivery: Delivery) => Effect.Effect<unknown, unknown, R>

/** How many messages wait for a subscriber that does not say how many. */
export const defaultCapacity = 64

/** A subscription as an implementation gets it: checked and complete. */
export interface Subscription {
  /** Each one once, sorted. */
  readonly topics: NonEmptyReadonlyArray<string>
  readonly strategy: Strategy
  readonly capacity: number
  readonly group: string | undefined
}

/** A message, and the topic it came by. */
export interface Delivery {
  readonly topic: string
  readonly message: Message
}

/** What an implementation of the event bus provides. */
export interface Operations {
  /** Sends a message to all who listen to the topic. */
  readonly publish: (topic: string, message: Message) => Effect.Effect<void, EventBusError>
  /**
   * Begins to listen; it ends with the scope. Messages published once the effect has returned are in the stream, whenever
   * it is run.
   */
  readonly listen: (
    subscription: Subscription
  ) => Effect.Effect<Stream.Stream<Delivery, EventBusError>, InvalidSubscription | EventBusError, Scope.Scope>
  /** Joins a group, which it makes if there is none, and works until it is interrupted or a message cannot be handled. */
  readonly consume: <R>(
    consumption: Consumption,
    handle: Handler<R>
  ) => Effect.Effect<never, InvalidSubscription | DeliveryFailed | EventBusError, R>
}

/** All operations of an event bus. */
export interface Service {
  /**
   * Sends a message to all who listen to the topic. It returns once the message waits with each of them; interrupted
   * before that, it may have reached some.
   */
  readonly publish: (topic: string, message: Message) => Effect.Effect<void, PublishError>
  /**
   * Begins to listen; it ends with the scope. Messages published once the effect has returned are in the stream, whenever
   * it is run. Run it once.
   */
  readonly listen: (
    topics: ReadonlyArray<string>,
    options: SubscribeOptions
  ) => Effect.Effect<Stream.Stream<Delivery, EventBusError>, SubscribeError, Scope.Scope>
  /** The messages of the topics, from when the stream begins to run. Ends only by interruption. */
  readonly subscribe: (
    topics: ReadonlyArray<string>,
    options: SubscribeOptions
  ) => Stream.Stream<Delivery, SubscribeError>
  /**
   * Handles the messages of the topics together with the other members of a group, each message at least once: it is done
   * when the handler has succeeded. Messages of one {@link Message.key} are handled one after the other, in order,
   * whichever member does it. A member that fails for good stops with `DeliveryFailed`; its message, and what another
   * member that crashed had in hand, is handled again. Receivers compare {@link Message.id}s.
   *
   * A group begins when its first member joins it, with the messages published from then on, and keeps its place while it
   * has no members. Runs until it is interrupted.
   */
  readonly consume: <R>(
    topics: ReadonlyArray<string>,
    options: ConsumeOptions,
    handle: Handler<R>
  ) => Effect.Effect<never, ConsumeError, R>
}

/**
 * The topics on which a program tells of its events.
 *
 * What every bus promises:
 * - Each subscriber gets each message of its topics, and each group of subscribers gets it once, in one of its members.
 * - Messages that one publisher sends to one topic, each after the other, arrive in that order. A group's members work
 *   at the same time, so what one of them makes of a message may be done before what another made of an earlier one.
 * - A member of a group that takes nothing holds up nobody; one that leaves takes along only what it was given.
 * - A subscriber that chose `suspend` misses nothing between its beginning and its end, as long as the program runs.
 * - No subscriber keeps more messages waiting than its capacity.
 * - What a sender or a receiver does to a message's data changes nothing for the others.
 * - A group of those who {@link Service.consume} handles each message at least once, those of one key in order. It is not
 *   the group of this name of those who listen.
 *
 * A bus that stores its messages may take one that is published again under its id, on the same topic, for the same one.
 *
 * What no bus promises: that messages of different publishers or topics keep their order, and that a message is handled
 * by those who listen. Receivers compare {@link Message.id}s where a second delivery would harm.
 *
 * A subscriber that chose `suspend`, and publishes to the topic that it reads, can wait for itself for ever.
 *
 * The bus in memory delivers at most once to those who listen, and forgets its groups with the program; what waits for a
 * group that consumes and has no member for the time is kept, however much it is. With nobody listening a message is gone. One that a member of a group had
 * taken when it failed is not given to another. When a group's last member leaves, what waited for the group is gone.
 */
export class EventBus extends Context.Service<EventBus, Service>()("@composable-ts/core/EventBus") {}

/** A topic's or a group's longest name, in characters. */
export const maxNameLength = 128

const nameShape = /^[A-Za-z][A-Za-z0-9_.-]*$/

/** What keeps a text from naming a topic or a group. */
const nameIssue = (name: string): string | undefined => {
  if (name.length > maxNameLength) return `it has more than ${maxNameLength} characters`
  return nameShape.test(name) ? undefined : `it must match ${nameShape}`
}

const invalidTopic = (topic: string): InvalidTopic | undefined => {
  const issue = nameIssue(topic)
  return issue === undefined ? undefined : new InvalidTopic({ topic: topic.slice(0, maxNameLength), issue })
}

/** The topics asked for, each once and in order. */
const topicsOf = (
  asked: ReadonlyArray<string>
): Result.Result<NonEmptyReadonlyArray<string>, InvalidTopic | InvalidSubscription> => {
  for (const topic of asked) {
    const refused = invalidTopic(topic)
    if (refused !== undefined) return Result.fail(refused)
  }
  const [topic, ...others] = [...new Set(asked)].toSorted()
  return topic === undefined
    ? Result.fail(new InvalidSubscription({ topics: asked, issue: "it names no topic" }))
    : Result.succeed([topic, ...others])
}

const groupIssue = (group: string): string | undefined => {
  const issue = nameIssue(group)
  return issue === undefined ? undefined : `group ${JSON.stringify(group)} is not a name: ${issue}`
}

const consumption = (
  asked: ReadonlyArray<string>,
  { concurrency = 1, group, retry = defaultRetry }: ConsumeOptions
): Result.Result<Consumption, InvalidTopic | InvalidSubscription> =>
  Result.flatMap(topicsOf(asked), (topics) => {
    const issue = Number.isSafeInteger(concurrency) && concurrency >= 1
      ? groupIssue(group)
      : `a concurrency of ${concurrency} handles no message`
    return issue === undefined
      ? Result.succeed({ topics, group, concurrency, retry })
      : Result.fail(new InvalidSubscription({ topics: asked, issue }))
  })

const subscription = (
  asked: ReadonlyArray<string>,
  { capacity = defaultCapacity, group, strategy }: SubscribeOptions
): Result.Result<Subscription, InvalidTopic | InvalidSubscription> =>
  Result.flatMap(topicsOf(asked), (topics) => {
    const issue = Number.isSafeInteger(capacity) && capacity >= 1
      ? group === undefined ? undefined : groupIssue(group)
      : `a capacity of ${capacity} keeps no message`
    return issue === undefined
      ? Result.succeed({ topics, strategy, capacity, group })
      : Result.fail(new InvalidSubscription({ topics: asked, issue }))
  })

/** Completes an implementation's operations into a {@link Service}, which refuses what no bus accepts. */
export const make = (operations: Operations): Service => {
  const listen: Service["listen"] = (topics, options) =>
    Effect.flatMap(Effect.fromResult(subscription(topics, options)), operations.listen)
  return {
    publish: (topic, message) => {
      const refused = invalidTopic(topic)
      return refused === undefined ? operations.publish(topic, message) : Effect.fail(refused)
    },
    listen,
    subscribe: (topics, options) => Stream.unwrap(listen(topics, options)),
    consume: (topics, options, handle) =>
      Effect.flatMap(
        Effect.fromResult(consumption(topics, options)),
        (consumption) => operations.consume(consumption, handle)
      )
  }
}
