/**
 * A contract is worth what it catches: each fault below is a bus that does one thing wrong, and the cases that must
 * notice it.
 */
import type { Delivery, Service } from "@composable-ts/core/EventBus"
import { DeliveryFailed } from "@composable-ts/core/EventBusError"
import * as MemoryEventBus from "@composable-ts/core/MemoryEventBus"
import type { Message } from "@composable-ts/core/Message"
import * as EventBusContract from "@composable-ts/testing/EventBusContract"
import { assert, describe, it } from "@effect/vitest"
import type { Duration } from "effect"
import { Effect, Exit, Option, Stream } from "effect"

type Fault = (bus: Service) => Partial<Service>

/** A bus that does something to what its subscribers get. */
const delivering = (
  bus: Service,
  change: <E>(deliveries: Stream.Stream<Delivery, E>) => Stream.Stream<Delivery, E>
): Partial<Service> => ({
  listen: (...listen) => Effect.map(bus.listen(...listen), change),
  subscribe: (...subscribe) => change(bus.subscribe(...subscribe))
})

const altered = (change: (delivery: Delivery) => Delivery): Fault => (bus) => delivering(bus, Stream.map(change))

const faults: ReadonlyArray<readonly [fault: string, noticedBy: RegExp, Fault]> = [
  [
    "slides where it was asked to suspend",
    /slower than its publishers/,
    (bus) => ({
      listen: (topics, options) =>
        bus.listen(topics, { ...options, strategy: options.strategy === "suspend" ? "sliding" : options.strategy })
    })
  ],
  [
    "drops where it was asked to slide",
    /sliding: nobody waits/,
    (bus) => ({
      listen: (topics, options) =>
        bus.listen(topics, { ...options, strategy: options.strategy === "sliding" ? "dropping" : options.strategy })
    })
  ],
  [
    "waits where it was asked to drop",
    /dropping: nobody waits/,
    (bus) => ({
      listen: (topics, options) =>
        bus.listen(topics, { ...options, strategy: options.strategy === "dropping" ? "suspend" : options.strategy })
    })
  ],
  [
    "gives each message of a group to every member",
    /exactly one member/,
    (bus) => ({ listen: (topics, options) => bus.listen(topics, { ...options, group: undefined }) })
  ],
  [
    "takes all subscribers for one group",
    /without a group every subscriber/,
    (bus) => ({
      listen: (topics, options) =>
        bus.listen(topics, { group: `all-of-${[...topics].join("-").slice(0, 100)}`, ...options })
    })
  ],
  [
    "hands out messages of a group in batches",
    /takes along nothing/,
    (bus) => ({
      listen: (topics, options) =>
        Effect.map(bus.listen(topics, options), (deliveries) => Stream.buffer(deliveries, { capacity: 16 }))
    })
  ],
  [
    "lets a member join whatever it asks for",
    /other capacity is refused/,
    (bus) => ({
      listen: (topics, options) =>
        Effect.catchTag(
          bus.listen(topics, options),
          "InvalidSubscription",
          (error) => error.issue.startsWith("group ") ? Effect.succeed(Stream.never) : Effect.fail(error)
        )
    })
  ],
  [
    "begins to listen when the stream runs",
    /what is published after is/,
    (bus) => ({ listen: (topics, options) => Effect.succeed(Stream.orDie(bus.subscribe(topics, options))) })
  ],
  [
    "replays the last message to a newcomer",
    /what was published before is not delivered/,
    (bus) => {
      const last = new Map<string, Delivery>()
      return {
        publish: (topic, message) => {
          last.set(topic, { topic, message })
          return bus.publish(topic, message)
        },
        listen: (topics, options) =>
          Effect.map(bus.listen(topics, options), (deliveries) =>
            Stream.concat(
              Stream.fromIterable(topics.flatMap((topic) => last.get(topic) ?? [])),
              deliveries
            ))
      }
    }
  ],
  [
    "sends in the background, so that the order is lost",
    /arrive all and in order/,
    (bus) => {
      let sent = 0
      return {
        publish: (topic, message) => {
          const late = sent++ % 3 === 0 ? Effect.andThen(Effect.yieldNow, Effect.yieldNow) : Effect.void
          return Effect.asVoid(Effect.forkDetach(Effect.andThen(late, bus.publish(topic, message))))
        }
      }
    }
  ],
  [
    "sends some messages twice",
    /without a group every subscriber/,
    (bus) => {
      let sent = 0
      return {
        publish: (topic, message) =>
          Effect.andThen(bus.publish(topic, message), sent++ % 7 === 3 ? bus.publish(topic, message) : Effect.void)
      }
    }
  ],
  [
    "takes topics by their beginning",
    /letter by letter/,
    (bus) => ({
      publish: (topic, message) =>
        Effect.andThen(
          bus.publish(topic, message),
          topic.endsWith(".b") ? bus.publish(topic.slice(0, -2), message) : Effect.void
        )
    })
  ],
  [
    "never ends a stream",
    /ends with its scope/,
    (bus) => ({
      listen: (...listen) => Effect.map(bus.listen(...listen), (deliveries) => Stream.concat(deliveries, Stream.never))
    })
  ],
  [
    "loses NUL characters, as PostgreSQL's jsonb would",
    /NUL characters comes back exactly/,
    altered((delivery) => ({
      ...delivery,
      message: {
        ...delivery.message,
        data: JSON.parse(JSON.stringify(delivery.message.data).replaceAll("\\u0000", ""))
      }
    }))
  ],
  [
    "drops the metadata",
    /all that it was made of/,
    altered((delivery) => ({ ...delivery, message: { ...delivery.message, metadata: {} } }))
  ],
  [
    "forgets where an event came from",
    /all that it was made of/,
    altered((delivery) => ({ ...delivery, message: { ...delivery.message, origin: null } }))
  ],
  [
    "accepts any topic",
    /any other text is refused/,
    (bus) => ({ publish: (...publish) => Effect.catchTag(bus.publish(...publish), "InvalidTopic", () => Effect.void) })
  ],
  [
    "takes a failed handling for a good one",
    /fails or dies is handled again/,
    (bus) => ({ consume: (topics, options, handle) => bus.consume(topics, options, (d) => Effect.exit(handle(d))) })
  ],
  [
    "has messages handled in the background",
    /stops and says so/,
    (bus) => ({
      consume: (topics, options, handle) =>
        bus.consume(topics, options, (delivery) => Effect.forkDetach(Effect.ignore(handle(delivery))))
    })
  ],
  [
    "knows no keys",
    /no two messages of a key/,
    (bus) => ({
      publish: (topic, message) => bus.publish(topic, { ...message, key: message.id } as Message)
    })
  ],
  [
    "has every member of a group that consumes handle every message",
    /keeps its place/,
    (bus) => {
      let members = 0
      return {
        consume: (topics, options, handle) =>
          bus.consume(topics, { ...options, group: `${options.group}-${members++}` }, handle)
      }
    }
  ],
  [
    "forgets a group that has no members",
    /keeps its place/,
    (bus) => ({
      consume: (topics, { group }, handle) =>
        Stream.runForEach(bus.subscribe(topics, { strategy: "suspend", group }), handle).pipe(
          Effect.mapError((cause) => new DeliveryFailed({ group, cause })),
          Effect.andThen(Effect.never)
        )
    })
  ],
  [
    "hands one and the same object to all",
    /what one receiver does/,
    (bus) => {
      const shared = new Map<string, Delivery>()
      return delivering(
        bus,
        Stream.map((delivery) => {
          const mine = shared.get(delivery.message.id) ?? (structuredClone(delivery) as Delivery)
          shared.set(delivery.message.id, mine)
          return mine
        })
      )
    }
  ]
]

/** The names of the cases that a bus with this fault fails: also those that it makes hang. */
const failedBy = (fault: Fault, patience: Duration.Input) =>
  Effect.gen(function*() {
    const sound = yield* MemoryEventBus.make
    const bus: Service = { ...sound, ...fault(sound) }
    const failed: Array<string> = []
    for (const { check, name } of EventBusContract.cases) {
      const exit = yield* Effect.timeoutOption(Effect.exit(Effect.scoped(check(bus))), patience)
      if (Option.isNone(exit) || Exit.isFailure(exit.value)) failed.push(name)
    }
    return failed
  })

describe("EventBusContract", () => {
  it("has cases of different names", () => {
    const names = EventBusContract.cases.map(({ name }) => name)
    assert.strictEqual(new Set(names).size, names.length)
  })

  it.live("holds for a sound bus", () =>
    Effect.map(failedBy(() => ({}), "30 seconds"), (failed) => assert.deepStrictEqual(failed, [])))

  for (const [name, noticedBy, fault] of faults) {
    it.live(`catches a bus that ${name}`, () =>
      Effect.map(failedBy(fault, "200 millis"), (failed) => {
        assert.isTrue(failed.some((name) => noticedBy.test(name)), `failed: ${failed.join("; ") || "nothing"}`)
        assert.isBelow(failed.length, EventBusContract.cases.length, "a fault should not fail everything")
      }), 60_000)
  }
})
