/**
 * Personal data in the outbox: sealed where it is kept, opened for the worker, gone when its subject was shredded.
 */
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
import * as MemorySubjectKeys from "@composable-ts/core/MemorySubjectKeys"
import * as Personal from "@composable-ts/core/Personal"
import * as PersonalData from "@composable-ts/core/PersonalData"
import * as SubjectKeys from "@composable-ts/core/SubjectKeys"
import * as OutboxContract from "@composable-ts/testing/OutboxContract"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { Customer, encoded, registered, secret, stream } from "./Persons.ts"

const { any } = ExpectedVersion

OutboxContract.suite(
  "PersonalData.layerOutbox",
  Layer.mergeAll(PersonalData.layerEventStore, PersonalData.layerOutbox).pipe(
    Layer.provide([MemoryEventStore.layerWithOutbox, MemorySubjectKeys.layer()])
  )
)

const Mail = Schema.Struct({ to: Personal.schema(Schema.String), text: Schema.String })
const mail = (subject: string): Schema.Json =>
  Schema.encodeSync(Mail)({ to: Personal.present(subject, secret), text: "Welcome" })
const addressIn = (body: Schema.Json): string =>
  Personal.getOrElse(Schema.decodeUnknownSync(Mail)(body).to, (subject) => `shredded ${subject}`)

const claims = { limit: 10, lease: "1 minute" } as const
const plain = encoded(Customer.Noted({ note: 1 }))

const kit = Effect.gen(function*() {
  const inner = yield* MemoryEventStore.makeWithOutbox
  const keys = yield* SubjectKeys.SubjectKeys
  return {
    inner,
    keys,
    events: PersonalData.eventStore(inner.events, keys),
    outbox: PersonalData.outbox(inner.outbox, keys)
  }
})

const withKeys = Effect.provide(MemorySubjectKeys.layer())

describe("an outbox with personal data", () => {
  it.effect("holds it sealed, also where no event holds any, and gives it to the worker", () =>
    Effect.gen(function*() {
      const { events, inner, outbox } = yield* kit
      for (const event of [plain, registered("p-1")]) {
        yield* events.append(stream("1"), any, [event], { outbox: [{ kind: "mail", body: mail("p-1") }] })
      }
      const held = yield* inner.outbox.claim(claims)
      assert.strictEqual(held.length, 2)
      assert.notInclude(JSON.stringify(held.map(({ body }) => body)), secret)
      yield* Effect.forEach(held, (claim) => inner.outbox.retry(claim, { after: 0, error: "" }))
      const opened = yield* outbox.claim(claims)
      assert.deepStrictEqual(opened.map(({ body }) => addressIn(body)), [secret, secret])
      yield* outbox.park(opened[0]!, "no answer")
      const [dead] = yield* outbox.dead({ limit: 10 })
      assert.strictEqual(addressIn(dead!.body), secret)
      const listed = yield* outbox.list({ limit: 10 })
      assert.deepStrictEqual(listed.map(({ body, status }) => [addressIn(body), status]), [
        [secret, "dead"],
        [secret, "running"]
      ])
    }).pipe(withKeys))

  it.effect("once the subject is shredded, the worker gets an absence, and no more of it is taken", () =>
    Effect.gen(function*() {
      const { events, keys, outbox } = yield* kit
      const commandId = "c-1"
      const append = (commandId: string) =>
        events.append(stream("1"), any, [plain], { commandId, outbox: [{ kind: "mail", body: mail("p-1") }] })
      yield* append(commandId)
      yield* keys.shred("p-1", "asked for")
      assert.strictEqual((yield* Effect.flip(append("c-2")))._tag, "SubjectShredded")
      assert.isTrue((yield* append(commandId)).duplicate)
      const opened = yield* outbox.claim(claims)
      assert.deepStrictEqual(opened.map(({ body }) => addressIn(body)), ["shredded p-1"])
    }).pipe(withKeys))

  it.effect("an entry that does not open is parked, and keeps no other from being claimed", () =>
    Effect.gen(function*() {
      const { events, inner, outbox } = yield* kit
      yield* events.append(stream("1"), any, [plain], { outbox: [{ kind: "mail", body: mail("p-1") }] })
      const [held] = yield* inner.outbox.claim(claims)
      // Moved to another command, it is out of its place.
      yield* inner.events.append(stream("2"), any, [plain], { outbox: [{ kind: "mail", body: held!.body }] })
      yield* events.append(stream("3"), any, [plain], { outbox: [{ kind: "mail", body: mail("p-1") }] })
      const opened = yield* outbox.claim(claims)
      assert.deepStrictEqual(opened.map(({ body, streamId }) => [streamId, addressIn(body)]), [[stream("3"), secret]])
      const dead = yield* outbox.dead({ limit: 10 })
      assert.strictEqual(dead.length, 1)
      assert.match(dead[0]!.error, /the outbox entry 2-0 \(stream "customer-2"\)/)
      assert.notInclude(JSON.stringify(dead[0]!.body), secret)
    }).pipe(withKeys))
})
