/**
 * The event bus in memory: for news within one process. What it promises stands at {@link EventBus.EventBus}.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as EventBus from "./EventBus.ts"
import { DeliveryFailed, EventBusError, InvalidSubscription, otherTopics } from "./EventBusError.ts"
import { ConsumerGroup } from "./internal/ConsumerGroup.ts"
import { Inbox, type Postponed, type Taker } from "./internal/Inbox.ts"
import { storedJson } from "./internal/storedJson.ts"
import type { Message } from "./Message.ts"

/** Subscribers who share their messages. One without a group is a group of its own. */
interface Group {
  readonly subscription: EventBus.Subscription
  readonly inbox: Inbox<EventBus.Delivery>
}

interface Groups {
  readonly byTopic: Map<string, Set<Group>>
  readonly byName: Map<string, Group>
  /** Those who consume, by name: they stay, also without a member. */
  readonly consumers: Map<string, ConsumerGroup>
}

/** The message as it is now, frozen: all subscribers get this one. */
const sealed = (message: Message): Message =>
  Object.freeze({
    ...message,
    data: storedJson(message.data),
    metadata: storedJson(message.metadata),
    origin: message.origin === null ? null : Object.freeze({ ...message.origin })
  })

/** All subscribers get the message in one go. Those are returned who have no room for it yet. */
const send = (groups: Groups, topic: string, message: Message): ReadonlyArray<Postponed> => {
  const delivery = Object.freeze({ topic, message: sealed(message) })
  for (const consumers of groups.consumers.values()) {
    if (consumers.topics.includes(topic)) consumers.offer(Object.freeze({ topic, message: delivery.message }))
  }
  const postponed: Array<Postponed> = []
  for (const { inbox } of groups.byTopic.get(topic) ?? []) {
    const place = inbox.offer(delivery)
    if (place !== undefined) postponed.push(place)
  }
  return postponed
}

/** An interrupted publisher takes its message back where it still waits, or whoever gives up would fill the memory. */
const publish = (groups: Groups): EventBus.Operations["publish"] => (topic, message) =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(
      Effect.try({
        try: () => send(groups, topic, message),
        catch: (cause) => new EventBusError({ operation: "publish", retryable: false, cause })
      }),
      (postponed) =>
        postponed.length === 0
          ? Effect.void
          : Effect.onInterrupt(
            restore(Effect.forEach(postponed, ({ admitted }) => admitted, { discard: true })),
            () => Effect.sync(() => postponed.forEach(({ withdraw }) => withdraw()))
          )
    )
  )

const keys = ["topics", "capacity", "strategy"] as const

/** What a newcomer to a group asks for that the group does not do. */
const disagreement = (members: EventBus.Subscription, newcomer: EventBus.Subscription): string | undefined => {
  const key = keys.find((key) => String(members[key]) !== String(newcomer[key]))
  return key === undefined ? undefined : `group ${newcomer.group} has ${key} ${members[key]}, not ${newcomer[key]}: ` +
    "ask for the same as its other members, or join a group of another name"
}

const found = ({ byName, byTopic }: Groups, subscription: EventBus.Subscription): Group => {
  const group: Group = { subscription, inbox: new Inbox(subscription) }
  if (subscription.group !== undefined) byName.set(subscription.group, group)
  for (const topic of subscription.topics) byTopic.set(topic, (byTopic.get(topic) ?? new Set()).add(group))
  return group
}

const dissolve = ({ byName, byTopic }: Groups, group: Group): void => {
  const { group: name, topics } = group.subscription
  if (name !== undefined) byName.delete(name)
  for (const topic of topics) {
    const listening = byTopic.get(topic)
    listening?.delete(group)
    if (listening?.size === 0) byTopic.delete(topic)
  }
}

interface Member {
  readonly group: Group
  readonly taker: Taker<EventBus.Delivery>
}

const join = (groups: Groups, subscription: EventBus.Subscription): Effect.Effect<Member, InvalidSubscription> =>
  Effect.suspend(() => {
    const existing = subscription.group === undefined ? undefined : groups.byName.get(subscription.group)
    const issue = existing === undefined ? undefined : disagreement(existing.subscription, subscription)
    if (issue !== undefined) return Effect.fail(new InvalidSubscription({ topics: subscription.topics, issue }))
    const group = existing ?? found(groups, subscription)
    return Effect.succeed({ group, taker: group.inbox.join() })
  })

const leave = (groups: Groups, { group, taker }: Member): Effect.Effect<void> =>
  Effect.sync(() => {
    taker.leave()
    if (group.inbox.isAbandoned) dissolve(groups, group)
  })

/** Handles the next message of a group. Whatever comes in between, it is put back unless it was handled. */
const handleNext = <R>(
  members: ConsumerGroup,
  { group, retry }: EventBus.Consumption,
  handle: EventBus.Handler<R>
): Effect.Effect<void, DeliveryFailed, R> =>
  Effect.suspend(() => {
    let held: EventBus.Delivery | undefined
    const take = members.take((delivery) => {
      held = delivery
    })
    return take.pipe(
      Effect.flatMap((delivery) =>
        Effect.suspend(() => handle(delivery)).pipe(
          Effect.catchCause((cause) => Effect.fail(Cause.squash(cause))),
          Effect.retry(retry),
          Effect.mapError((cause) => new DeliveryFailed({ group, cause }))
        )
      ),
      Effect.onExit((exit) =>
        Effect.sync(() => held === undefined ? undefined : members.release(held, Exit.isSuccess(exit)))
      ),
      Effect.asVoid
    )
  })

const consume = ({ consumers }: Groups): EventBus.Operations["consume"] => (consumption, handle) =>
  Effect.gen(function*() {
    const { concurrency, group, topics } = consumption
    const members = consumers.get(group) ?? new ConsumerGroup(topics)
    if (String(members.topics) !== String(topics)) {
      return yield* new InvalidSubscription({ topics, issue: otherTopics(group, members.topics) })
    }
    consumers.set(group, members)
    const work = Effect.forever(handleNext(members, consumption, handle))
    return yield* Effect.raceAllFirst(Array.from({ length: concurrency }, () => work))
  })

/** A bus of its own. */
export const make: Effect.Effect<EventBus.Service> = Effect.sync(() => {
  const groups: Groups = { byTopic: new Map(), byName: new Map(), consumers: new Map() }
  return EventBus.make({
    publish: publish(groups),
    listen: (subscription) =>
      Effect.map(
        Effect.acquireRelease(join(groups, subscription), (member) => leave(groups, member)),
        ({ taker }) => Stream.fromEffectRepeat(taker.take)
      ),
    consume: consume(groups)
  })
})

/** Provides a bus of its own. */
export const layer: Layer.Layer<EventBus.EventBus> = Layer.effect(EventBus.EventBus, make)
