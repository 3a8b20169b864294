/**
 * Event and snapshot stores that keep personal data sealed: what they hold, what comes back, and what is refused.
 */
import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as Event from "@composable-ts/core/Event"
import { EventStore } from "@composable-ts/core/EventStore"
import {
  EventStoreError,
  InvalidAppend,
  type StreamReadError,
  type SubscribeError
} from "@composable-ts/core/EventStoreError"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as Fx from "@composable-ts/core/Fx"
import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
import * as MemorySnapshotStore from "@composable-ts/core/MemorySnapshotStore"
import * as MemorySubjectKeys from "@composable-ts/core/MemorySubjectKeys"
import * as Personal from "@composable-ts/core/Personal"
import * as PersonalData from "@composable-ts/core/PersonalData"
import { SealBroken, SubjectShredded } from "@composable-ts/core/PersonalError"
import type { EncodedEvent, RecordedEvent } from "@composable-ts/core/RecordedEvent"
import { InvalidSnapshot, type Snapshot } from "@composable-ts/core/Snapshot"
import { SnapshotStore, SnapshotStoreError } from "@composable-ts/core/SnapshotStore"
import * as Store from "@composable-ts/core/Store"
import * as SubjectKeys from "@composable-ts/core/SubjectKeys"
import * as EventStoreContract from "@composable-ts/testing/EventStoreContract"
import * as SnapshotStoreContract from "@composable-ts/testing/SnapshotStoreContract"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Fiber, Layer, Option, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import { inspect } from "node:util"
import { Customer, decoded, emailOf, encoded, holding, kit, registered, secret, stream } from "./Persons.ts"

const any = ExpectedVersion.any

const Keys = MemorySubjectKeys.layer()
EventStoreContract.suite(
  "PersonalData.layerEventStore",
  PersonalData.layerEventStore.pipe(Layer.provide([MemoryEventStore.layer, Keys]))
)
SnapshotStoreContract.suite(
  "PersonalData.layerSnapshotStore",
  PersonalData.layerSnapshotStore.pipe(Layer.provide([MemorySnapshotStore.layer, Keys]))
)

/** What a failed read blames. */
const brokenBy = (error: unknown): SealBroken => {
  assert.instanceOf(error, EventStoreError)
  assert.isFalse(error.retryable)
  assert.instanceOf(error.cause, SealBroken)
  return error.cause
}

describe("an event store with personal data", () => {
  it.effect("holds it sealed, and gives it back by every way of reading", () =>
    Effect.gen(function*() {
      const { inner, store } = yield* kit()
      const commandId = "c-1"
      yield* store.append(stream("1"), any, [registered("p-1")], { commandId })
      const [held] = yield* inner.read(stream("1"))
      const { email, ...rest } = held!.data as Schema.JsonObject
      assert.deepStrictEqual(Object.keys(email as object), ["$personal", "sealed"])
      assert.deepStrictEqual(rest, { friends: [], plan: "free" })
      assert.notInclude(JSON.stringify(held!.data), secret)
      const ways: ReadonlyArray<Effect.Effect<ReadonlyArray<RecordedEvent>, StreamReadError | SubscribeError>> = [
        store.read(stream("1")),
        Effect.map(store.readAll({ after: 0n, limit: 10 }), ({ events }) => events),
        store.readCommand(commandId),
        Stream.runCollect(store.load(stream("1"))),
        Stream.runCollect(Stream.take(store.subscribe({ after: 0n }), 1))
      ]
      for (const way of ways) {
        const events = yield* way
        assert.deepStrictEqual(events.map(emailOf), [secret])
        for (const event of events) assert.deepStrictEqual(event, { ...held!, data: event.data })
      }
    }))

  it.effect.prop(
    "gives any JSON back exactly, whatever the subject",
    [Schema.Json, Schema.String],
    ([value, text]) =>
      Effect.gen(function*() {
        const subject = `p${text.replaceAll(/[\0\p{Surrogate}]/gu, "").slice(0, 200)}`
        const { inner, store } = yield* kit()
        const outcome = yield* Effect.result(
          store.append(stream("1"), any, [encoded(Customer.Held({ value: Personal.present(subject, value) }))])
        )
        if (outcome._tag === "Failure") return assert.include(JSON.stringify(value), `"$personal"`)
        const [read] = yield* store.read(stream("1"))
        const event = decoded(read!)
        assert.deepStrictEqual(
          JSON.stringify(event),
          JSON.stringify(Customer.Held({ value: Personal.present(subject, value) }))
        )
        const [held] = yield* inner.read(stream("1"))
        assert.deepStrictEqual(Object.keys((held!.data as { readonly value: object }).value), ["$personal", "sealed"])
      }),
    { arbitrary: { runs: 150 } }
  )

  it.effect("marks what was shredded, for its subject alone, and knows it in one look-up a page", () =>
    Effect.gen(function*() {
      const { keys, lookUps, store } = yield* kit()
      yield* store.append(stream("1"), any, [
        registered("p-1"),
        registered("p-2", "max@example.com"),
        registered("p-1")
      ])
      const friends = [Personal.present("p-2", { name: "Max" }), Personal.present("p-1", ["Zoe"])]
      const both = Customer.Registered({ email: Personal.present("p-1", secret), friends, plan: "free" })
      yield* store.append(stream("2"), any, [encoded(both)])
      yield* keys.shred("p-1", "request 17")
      lookUps.length = 0
      const { events } = yield* store.readAll({ after: 0n, limit: 100 })
      assert.deepStrictEqual(events.slice(0, 3).map(emailOf), ["shredded p-1", "max@example.com", "shredded p-1"])
      assert.deepStrictEqual(
        decoded(events[3]!),
        Customer.Registered({
          email: Personal.shredded("p-1"),
          friends: [friends[0]!, Personal.shredded("p-1")],
          plan: "free"
        })
      )
      assert.deepStrictEqual(lookUps, [["p-1", "p-2"]])
    }))

  it.effect("looks up no key for events without any, and hands them on as they are", () =>
    Effect.gen(function*() {
      const { inner, lookUps, store } = yield* kit()
      yield* store.append(stream("1"), any, [encoded(Customer.Noted({ note: { text: "nothing personal" } }))])
      const [[there], [here]] = yield* Effect.all([inner.read(stream("1")), store.read(stream("1"))])
      assert.strictEqual(here, there)
      assert.deepStrictEqual(lookUps, [])
    }))

  it.effect("refuses a shredded subject's data, all of the append with it", () =>
    Effect.gen(function*() {
      const { inner, keys, store } = yield* kit()
      yield* keys.shred("p-1", "request 17")
      const error = yield* Effect.flip(store.transact([
        { streamId: stream("1"), expected: any, events: [registered("p-2")] },
        { streamId: stream("2"), expected: any, events: [registered("p-1")] }
      ]))
      assert.instanceOf(error, SubjectShredded)
      assert.strictEqual(error.subject, "p-1")
      assert.strictEqual((yield* inner.readAll({ after: 0n, limit: 10 })).head, 0n)
    }))

  it.effect("stores the absence itself, as a state from before may lead to", () =>
    Effect.gen(function*() {
      const { keys, store } = yield* kit()
      yield* keys.shred("p-1", "request 17")
      yield* store.append(stream("1"), any, [
        encoded(Customer.Registered({ email: Personal.shredded("p-1"), friends: [], plan: "free" }))
      ])
      assert.deepStrictEqual((yield* store.read(stream("1"))).map(emailOf), ["shredded p-1"])
    }))

  describe("data that only looks personal", () => {
    const lookalikes: ReadonlyArray<readonly [name: string, note: Schema.Json]> = [
      ["an open value", { $personal: "p-1", value: "x" }],
      ["a sealed one", [{ deep: { $personal: "p-1", sealed: "1:AAAA" } }]],
      ["an absence", { $personal: "p-1", shredded: true }],
      ["none of them", { $personal: 5, more: 1 }]
    ]
    it.effect.each(lookalikes)("is refused: %s", ([, note]) =>
      Effect.gen(function*() {
        const { inner, store } = yield* kit()
        const error = yield* Effect.flip(store.append(stream("1"), any, [encoded(Customer.Noted({ note }))]))
        assert.instanceOf(error, InvalidAppend)
        assert.match(error.message, /"\$personal" that no Personal.schema made: the name is reserved/)
        assert.strictEqual((yield* inner.readAll({ after: 0n, limit: 10 })).head, 0n)
      }))

    it.effect("is refused inside personal data, too, without a word of what it holds", () =>
      Effect.gen(function*() {
        const { store } = yield* kit()
        const value = { inner: [{ $personal: "p-2", value: secret }] }
        const error = yield* Effect.flip(
          store.append(stream("1"), any, [encoded(Customer.Held({ value: Personal.present("p-1", value) }))])
        )
        assert.match(
          error.message,
          /at \["value"\] personal data holds a member "\$personal" in turn, at \["inner",0\]/
        )
        assert.notInclude(error.message, secret)
      }))

    it.effect("is left alone where it was stored before", () =>
      Effect.gen(function*() {
        const { inner, store } = yield* kit()
        const notes: ReadonlyArray<Schema.Json> = [{ $personal: 5 }, { $personal: "p", value: 1, more: 2 }]
        for (const note of notes) yield* inner.append(stream("1"), any, [encoded(Customer.Noted({ note }))])
        assert.deepStrictEqual(
          (yield* store.read(stream("1"))).map(({ data }) => data),
          notes.map((note) => ({ note }))
        )
      }))
  })

  it.effect("reads what was stored open before there were keys, and shreds that as well", () =>
    Effect.gen(function*() {
      const { inner, keys, store } = yield* kit()
      yield* inner.append(stream("1"), any, [registered("p-1")])
      assert.deepStrictEqual((yield* store.read(stream("1"))).map(emailOf), [secret])
      yield* keys.shred("p-1", "request 17")
      assert.deepStrictEqual((yield* store.read(stream("1"))).map(emailOf), ["shredded p-1"])
    }))

  it.effect("can be copied, event by event, into another such store", () =>
    Effect.gen(function*() {
      const [from, to] = yield* Effect.all([kit(), kit()])
      yield* from.store.append(stream("1"), any, [registered("p-1"), registered("p-2")])
      yield* from.keys.shred("p-2", "request 17")
      for (const { data, type } of yield* from.store.read(stream("1"))) {
        yield* to.store.append(stream("copy"), any, [{ ...registered("p-1"), type, data }])
      }
      assert.deepStrictEqual((yield* to.store.read(stream("copy"))).map(emailOf), [secret, "shredded p-2"])
    }))

  it.effect("without the keys' store around it, says what is amiss", () =>
    Effect.gen(function*() {
      const { inner, store } = yield* kit()
      yield* store.append(stream("1"), any, [registered("p-1")])
      const [held] = yield* inner.read(stream("1"))
      const result = Customer.decode(held!)
      assert.isTrue(result._tag === "Failure" && /it is sealed: read it through/.test(result.failure.message))
    }))
})

describe("an append asked for again", () => {
  const first = { commandId: "c-1" }
  const asked = [registered("p-1"), registered("p-2"), registered("p-1")] as const

  it.effect("seals to the same, so that a store may compare the two", () =>
    Effect.gen(function*() {
      const { inner, keys, store } = yield* kit()
      const sent: Array<unknown> = []
      const spied = PersonalData.eventStore({
        ...inner,
        transact: (appends, options) => {
          sent.push(appends)
          return inner.transact(appends, options)
        }
      }, keys)
      const outcome = yield* spied.append(stream("1"), any, asked, first)
      assert.deepStrictEqual(yield* spied.append(stream("1"), any, asked, first), { ...outcome, duplicate: true })
      assert.deepStrictEqual(sent[1], sent[0])
      const [one, , three] = (yield* inner.read(stream("1"))).map(({ data }) => data)
      assert.notDeepEqual(one, three, "equal values of one command show that they are equal")
      yield* store.append(stream("1"), any, asked, { commandId: "c-2" })
      assert.strictEqual(new Set((yield* inner.read(stream("1"))).map(({ data }) => JSON.stringify(data))).size, 6)
    }))

  it.effect("gets its first outcome, also when the subject was shredded meanwhile", () =>
    Effect.gen(function*() {
      const { inner, keys, store } = yield* kit()
      const outcome = yield* store.append(stream("1"), any, asked, first)
      const before = yield* inner.read(stream("1"))
      yield* keys.shred("p-1", "request 17")
      const sent: Array<unknown> = []
      const spied = PersonalData.eventStore({
        ...inner,
        append: () => Effect.die("unused"),
        transact: (appends, options) => {
          sent.push(...appends.flatMap(({ events }) => events.map(({ data }) => data)))
          return inner.transact(appends, options)
        }
      }, keys)
      assert.deepStrictEqual(yield* spied.append(stream("1"), any, asked, first), { ...outcome, duplicate: true })
      assert.deepStrictEqual(sent, before.map(({ data }) => data), "what is sent again is not what is stored")
      const other = yield* Effect.flip(store.append(stream("1"), any, [registered("p-1")], first))
      assert.instanceOf(other, SubjectShredded)
      assert.deepStrictEqual(yield* inner.read(stream("1")), before)
    }))
})

describe("the fingerprint of a command with personal data", () => {
  const given = { commandId: "c-1", fingerprint: "digest-of-the-command" }
  const one = [registered("p-1")] as const
  const setUp = (...events: readonly [EncodedEvent, ...Array<EncodedEvent>]) =>
    Effect.gen(function*() {
      const at = yield* kit()
      const outcome = yield* at.store.append(stream("1"), any, events, given)
      const held = Effect.map(at.inner.readCommand("c-1"), ([first]) => first!.fingerprint)
      const read = Effect.map(at.store.readCommand("c-1"), ([first]) => first!.fingerprint)
      return { ...at, outcome: { ...outcome, duplicate: true }, held, read }
    })

  it.effect("is not stored as it is, and comes back as it was", () =>
    Effect.gen(function*() {
      const { held, inner, read } = yield* setUp(...one)
      assert.match((yield* held) ?? "", /^\$personal:1:/)
      assert.notInclude(JSON.stringify(yield* inner.readCommand("c-1"), (_, value) => String(value)), given.fingerprint)
      assert.strictEqual(yield* read, given.fingerprint)
    }))

  it.effect("is stored as it is where nothing is personal", () =>
    Effect.gen(function*() {
      const { held, read } = yield* setUp(encoded(Customer.Noted({ note: "n" })))
      assert.deepStrictEqual([yield* held, yield* read], [given.fingerprint, given.fingerprint])
    }))

  const others = {
    "the same events": one,
    "another value": [registered("p-1", "other@example.com")],
    "another subject's data": [registered("p-2")],
    "nothing personal": [encoded(Customer.Noted({ note: "n" }))]
  } as const
  for (const [what, events] of Object.entries(others)) {
    it.effect(`tells a repetition that decides ${what}, and another command that does`, () =>
      Effect.gen(function*() {
        const { outcome, store } = yield* setUp(...one)
        assert.deepStrictEqual(yield* store.append(stream("1"), any, events, given), outcome)
        const error = yield* Effect.flip(
          store.append(stream("1"), any, events, { ...given, fingerprint: "of another command" })
        )
        assert.strictEqual(error._tag, "CommandIdConflict")
      }))
  }

  it.effect("is gone with any of its subjects: then the events are compared", () =>
    Effect.gen(function*() {
      for (const gone of ["p-1", "p-2"]) {
        const events = [registered("p-1"), registered("p-2")] as const
        const { keys, outcome, read, store } = yield* setUp(...events)
        assert.strictEqual(yield* read, given.fingerprint)
        yield* keys.shred(gone, "request 17")
        assert.isUndefined(yield* read)
        const another = { ...given, fingerprint: "of another command" }
        assert.deepStrictEqual(yield* store.append(stream("1"), any, events, another), outcome)
        const fewer = yield* Effect.flip(
          store.append(stream("1"), any, [encoded(Customer.Noted({ note: "n" }))], given)
        )
        assert.strictEqual(fewer._tag, "CommandIdConflict")
      }
    }))

  it.effect("is left out where there are the keys of too many subjects", () =>
    Effect.gen(function*() {
      const three = yield* setUp(registered("p-1"), registered("p-2"), registered("p-3"))
      assert.strictEqual(yield* three.read, given.fingerprint)
      const many = yield* setUp(registered("p-1"), ...["p-2", "p-3", "p-4"].map((subject) => registered(subject)))
      assert.isUndefined(yield* many.held)
    }))
})

describe("sealed data that was tampered with", () => {
  const setUp = Effect.gen(function*() {
    const at = yield* kit()
    yield* at.store.append(stream("1"), any, [
      registered("p-1"),
      encoded(Customer.Held({ value: Personal.present("p-1", 5) }))
    ])
    yield* at.store.append(stream("1"), any, [registered("p-2", "max@example.com")])
    yield* at.store.append(stream("2"), any, [registered("p-1")])
    const all = (yield* at.inner.readAll({ after: 0n, limit: 10 })).events
    const sealedIn = (index: number): string =>
      (Object.values(all[index]!.data as Schema.JsonObject)[0] as { readonly sealed: string }).sealed
    const reading = (change: (event: RecordedEvent) => RecordedEvent) =>
      PersonalData.eventStore(holding(at.inner, change), at.keys).read(stream("1"), { maxCount: 1 })
    const withEmail = (email: Schema.Json) => (event: RecordedEvent): RecordedEvent => ({
      ...event,
      data: { ...(event.data as Schema.JsonObject), email }
    })
    return { ...at, all, reading, sealedIn, withEmail }
  })

  it.effect("is untouched in the control", () =>
    Effect.gen(function*() {
      const { reading, sealedIn, withEmail } = yield* setUp
      const events = yield* reading(withEmail({ $personal: "p-1", sealed: sealedIn(0) }))
      assert.deepStrictEqual(events.map(emailOf), [secret])
    }))

  it.effect.prop("is never another value: a changed byte anywhere fails the read", [
    Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1e6 })),
    Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 255 }))
  ], ([at, change]) =>
    Effect.gen(function*() {
      const { reading, sealedIn, withEmail } = yield* setUp
      const bytes = Buffer.from(sealedIn(0).slice(2), "base64")
      bytes[at % bytes.length]! ^= change
      const error = yield* Effect.flip(
        reading(withEmail({ $personal: "p-1", sealed: `1:${bytes.toString("base64")}` }))
      )
      const broken = brokenBy(error)
      assert.deepStrictEqual([broken.reason, broken.path, broken.subject], ["does not open", ["email"], "p-1"])
      assert.match(error.message, /Registered.v1 \(stream "customer-1", version 0, global position 1\)/)
    }), { arbitrary: { runs: 60 } })

  it.effect("does not open when it is moved: to another subject, stream, command, event or field", () =>
    Effect.gen(function*() {
      const { keys, reading, sealedIn, withEmail } = yield* setUp
      const moves = {
        subject: withEmail({ $personal: "p-2", sealed: sealedIn(0) }),
        "another subject's": withEmail({ $personal: "p-1", sealed: sealedIn(2) }),
        "another stream's": withEmail({ $personal: "p-1", sealed: sealedIn(3) }),
        "another event's": withEmail({ $personal: "p-1", sealed: sealedIn(1) }),
        command: (event: RecordedEvent) => ({ ...event, commandId: "another" }),
        stream: (event: RecordedEvent) => ({ ...event, streamId: "customer-2" }),
        type: (event: RecordedEvent) => ({ ...event, type: "Registered.v2" }),
        field: (event: RecordedEvent): RecordedEvent => ({
          ...event,
          data: { ...(event.data as Schema.JsonObject), friends: [{ $personal: "p-1", sealed: sealedIn(0) }] }
        }),
        truncated: withEmail({ $personal: "p-1", sealed: sealedIn(0).slice(0, 20) }),
        empty: withEmail({ $personal: "p-1", sealed: "" }),
        "no base64": withEmail({ $personal: "p-1", sealed: "1:ü" }),
        "another way of sealing": withEmail({ $personal: "p-1", sealed: sealedIn(0).replace("1:", "2:") })
      }
      for (const [name, move] of Object.entries(moves)) {
        const error = yield* Effect.flip(reading(move))
        assert.strictEqual(brokenBy(error).reason, "does not open", name)
      }
      yield* keys.shred("p-1", "request 17")
      const events = yield* reading(moves["another stream's"])
      assert.deepStrictEqual(events.map(emailOf), ["shredded p-1"])
    }))

  it.effect("of a subject that never had a key is not taken for shredded", () =>
    Effect.gen(function*() {
      const { inner } = yield* setUp
      const wrong = PersonalData.eventStore(inner, yield* MemorySubjectKeys.make())
      const error = yield* Effect.flip(wrong.read(stream("1")))
      assert.strictEqual(brokenBy(error).reason, "no key")
      assert.match(error.message, /these are not the keys that it was written with/)
    }))

  it.effect("T57: no error, in words or as JSON, tells the value, what it is sealed to, or the key", () =>
    Effect.gen(function*() {
      const { inner, keys, reading, sealedIn, withEmail } = yield* setUp
      const changed = sealedIn(0).slice(0, -6) + "AAAAA="
      yield* keys.shred("p-9", "request 17")
      const errors = yield* Effect.all([
        Effect.flip(reading(withEmail({ $personal: "p-1", sealed: changed }))),
        Effect.flip(PersonalData.eventStore(inner, yield* MemorySubjectKeys.make()).read(stream("1"))),
        Effect.flip(PersonalData.eventStore(inner, keys).append(stream("1"), any, [registered("p-9")])),
        Effect.flip(Effect.fromResult(Customer.decode({
          ...(yield* inner.read(stream("1")))[0]!,
          data: { email: { $personal: "p-1", value: { secret } }, friends: [], plan: "free" }
        }))),
        Effect.flip(Effect.fromResult(Customer.encode(
          Customer.Registered({ email: Personal.present("p-1\0", secret), friends: [], plan: "free" })
        )))
      ])
      for (const error of errors) {
        const said = `${Cause.pretty(Cause.fail(error))} ${inspect(error, { depth: 10 })} ${String(error)}`
        for (const hidden of [secret, changed.slice(2, 20), sealedIn(0).slice(2, 20)]) assert.notInclude(said, hidden)
      }
    }))
})

const State = Schema.Struct({ email: Schema.optionalKey(Personal.schema(Schema.String)), count: Schema.Int })

describe("a snapshot store with personal data", () => {
  const snapshot = (version: number, subject = "p-1"): Snapshot => ({
    streamId: stream("1"),
    version,
    globalPosition: BigInt(version + 1),
    stateVersion: 1,
    state: Schema.encodeSync(Schema.toCodecJson(State))({ email: Personal.present(subject, secret), count: 3 })
  })
  const setUp = Effect.gen(function*() {
    const inner = yield* MemorySnapshotStore.make
    const keys = yield* MemorySubjectKeys.make()
    return { inner, keys, store: PersonalData.snapshotStore(inner, keys) }
  })
  const only = { stateVersion: 1 }

  it.effect("holds it sealed, and gives it back", () =>
    Effect.gen(function*() {
      const { inner, store } = yield* setUp
      yield* store.save(snapshot(4))
      const held = Option.getOrThrow(yield* inner.load(stream("1"), only))
      assert.notInclude(JSON.stringify(held.state), secret)
      assert.deepStrictEqual(yield* store.load(stream("1"), only), Option.some(snapshot(4)))
    }))

  it.effect("T55 (c): marks what was shredded, and keeps a state from before without it", () =>
    Effect.gen(function*() {
      const { inner, keys, store } = yield* setUp
      yield* store.save(snapshot(4))
      yield* keys.shred("p-1", "request 17")
      const state = { email: { $personal: "p-1", shredded: true }, count: 3 }
      assert.deepStrictEqual(Option.getOrThrow(yield* store.load(stream("1"), only)).state, state)
      assert.deepStrictEqual(yield* store.save(snapshot(5)), { saved: true })
      assert.deepStrictEqual(Option.getOrThrow(yield* inner.load(stream("1"), only)).state, state)
    }))

  it.effect("refuses what only looks personal, and does not open what was moved", () =>
    Effect.gen(function*() {
      const { inner, store } = yield* setUp
      const error = yield* Effect.flip(store.save({ ...snapshot(4), state: { $personal: "p-1", value: 1 } }))
      assert.instanceOf(error, InvalidSnapshot)
      yield* store.save(snapshot(4))
      const held = Option.getOrThrow(yield* inner.load(stream("1"), only))
      yield* inner.save({ ...held, version: 5 })
      const moved = yield* Effect.flip(store.load(stream("1"), only))
      assert.isTrue(moved instanceof SnapshotStoreError && moved.cause instanceof SealBroken && !moved.retryable)
    }))
})

describe("an aggregate with personal data", () => {
  const Person = Action.define("Person", {
    commands: { Register: { subject: Schema.String, email: Schema.String }, Count: {} },
    events: { Registered: Event.v1({ email: Personal.schema(Schema.String) }), Counted: Event.v1({}) }
  })
  const person = Aggregate.define(Person, {
    initial: { count: 0 } as typeof State.Type,
    decide: (_state, command) =>
      command._tag === "Register"
        ? Fx.append(Person.Registered({ email: Personal.present(command.subject, command.email) }))
        : Fx.append(Person.Counted()),
    evolve: (state, event): typeof State.Type =>
      event._tag === "Registered" ? { ...state, email: event.email } : { ...state, count: state.count + 1 },
    snapshot: { state: State, version: 1 }
  })

  it.effect("T55: comes to the same state from snapshot or events, with the key and without", () =>
    Effect.gen(function*() {
      const { inner, keys, store } = yield* kit()
      const snapshots = yield* MemorySnapshotStore.make
      const open = (kept: typeof snapshots) =>
        Store.aggregate(person).pipe(
          Effect.provideService(EventStore, store),
          Effect.provideService(SnapshotStore, PersonalData.snapshotStore(kept, keys))
        )
      const writer = yield* open(snapshots)
      yield* writer.dispatch("1", Person.Register({ subject: "p-1", email: secret }))
      yield* writer.saveSnapshot("1")
      yield* writer.dispatch("1", Person.Count())
      const states = Effect.gen(function*() {
        const cold = [yield* open(snapshots), yield* open(yield* MemorySnapshotStore.make)]
        return yield* Effect.forEach(cold, (at) => Effect.map(at.state("1"), ({ state }) => state))
      })
      const present = { email: Personal.present("p-1", secret), count: 1 }
      assert.deepStrictEqual(yield* states, [present, present])
      yield* keys.shred("p-1", "request 17")
      const gone = { email: Personal.shredded("p-1"), count: 1 }
      assert.deepStrictEqual(yield* states, [gone, gone])
      const refused = yield* Effect.flip(
        (yield* open(snapshots)).dispatch("2", Person.Register({ subject: "p-1", email: secret }))
      )
      assert.strictEqual(refused._tag, "SubjectShredded")
      assert.notInclude(
        JSON.stringify((yield* inner.readAll({ after: 0n, limit: 9 })).events.map(({ data }) => data)),
        secret
      )
    }))
})

describe("T55: a key that is shredded while others read", () => {
  it.effect("(a) during a catch-up: what is read afterwards is the absence, and the reader goes on", () =>
    Effect.gen(function*() {
      const { keys, store } = yield* kit()
      for (let i = 0; i < 1_200; i++) yield* store.append(stream("1"), any, [registered("p-1", `${i}`)])
      const seen = yield* store.subscribe({ after: 0n }).pipe(
        Stream.tap((event) => event.version === 499 ? keys.shred("p-1", "request 17") : Effect.void),
        Stream.take(1_200),
        Stream.runCollect
      )
      // The first page had been opened by then.
      assert.deepStrictEqual(
        seen.map(emailOf),
        Array.from({ length: 1_200 }, (_, i) => i < 500 ? `${i}` : "shredded p-1")
      )
    }))

  it.effect("(b) during a rebuild, live events included", () =>
    Effect.gen(function*() {
      const { keys, store } = yield* kit()
      yield* store.append(stream("1"), any, [registered("p-1"), registered("p-2", "max")])
      const rebuilt: Array<string> = []
      const follower = yield* Effect.forkChild(
        Stream.runForEach(store.subscribe({ after: 0n }), (event) => Effect.sync(() => rebuilt.push(emailOf(event))))
      )
      const reached = (count: number) => Effect.repeat(Effect.yieldNow, { until: () => rebuilt.length >= count })
      yield* reached(2)
      yield* keys.shred("p-1", "request 17")
      yield* store.append(stream("1"), any, [registered("p-2", "moritz")])
      yield* reached(3)
      yield* Fiber.interrupt(follower)
      const again = yield* store.readAll({ after: 0n, limit: 10 })
      assert.deepStrictEqual(rebuilt, [secret, "max", "moritz"])
      assert.deepStrictEqual(again.events.map(emailOf), ["shredded p-1", "max", "moritz"])
    }))

  it.effect("(d) between the read of the row and of the key", () =>
    Effect.gen(function*() {
      const { inner, keys } = yield* kit()
      const store = PersonalData.eventStore({
        ...inner,
        read: (...read) => Effect.tap(inner.read(...read), () => Effect.orDie(keys.shred("p-1", "request 17")))
      }, keys)
      yield* store.append(stream("1"), any, [registered("p-1")])
      assert.deepStrictEqual((yield* store.read(stream("1"))).map(emailOf), ["shredded p-1"])
    }))

  it.effect("by another process: the value no longer than the key may stay in memory", () =>
    Effect.gen(function*() {
      const inner = yield* MemoryEventStore.make
      const kept = yield* MemorySubjectKeys.operations
      const [keys, elsewhere] = [SubjectKeys.make(kept), SubjectKeys.make(kept, { timeToLive: "1 minute" })]
      const [store, other] = [PersonalData.eventStore(inner, keys), PersonalData.eventStore(inner, elsewhere)]
      yield* store.append(stream("1"), any, [registered("p-1")])
      const read = Effect.map(other.read(stream("1")), (events) => events.map(emailOf))
      assert.deepStrictEqual(yield* read, [secret])
      yield* keys.shred("p-1", "request 17")
      yield* TestClock.adjust("59 seconds")
      assert.deepStrictEqual(yield* read, [secret], "the control: a cache does keep it")
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* read, ["shredded p-1"])
      assert.deepStrictEqual((yield* store.read(stream("1"))).map(emailOf), ["shredded p-1"])
    }))
})
