/**
 * The providers over real connections: each way to fail is what a client sees, and none makes a provider do a thing twice.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Result, type Scope } from "effect"
import { HttpClient, HttpClientRequest, HttpClientResponse } from "effect/http"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { createInterface } from "node:readline"
import * as Endpoint from "../src/Endpoint.ts"
import * as Fault from "../src/Fault.ts"
import * as Ledger from "../src/Ledger.ts"
import { MailClient } from "../src/MailClient.ts"
import * as MailProvider from "../src/MailProvider.ts"
import { PaymentClient } from "../src/PaymentClient.ts"
import * as PaymentProvider from "../src/PaymentProvider.ts"

const timeout = "250 millis"

const paymentWith = (script: Partial<Fault.Script>, keys: Ledger.Keys = "honoured") =>
  Endpoint.start(PaymentProvider.layer(0, { script: { ...Fault.reliable, ...script }, keys, limit: 1000 }))

const payment = (script: Partial<Fault.Script>, keys?: Ledger.Keys) =>
  Effect.gen(function*() {
    const url = yield* paymentWith(script, keys)
    const client = yield* Effect.provide(PaymentClient, PaymentClient.layer({ url, timeout }))
    const charges = Effect.flatMap(
      HttpClient.get(`${url}/charges`),
      HttpClientResponse.schemaBodyJson(PaymentProvider.Charges)
    )
    const book = Effect.flatMap(HttpClient.get(`${url}/ledger`), HttpClientResponse.schemaBodyJson(Ledger.Book))
    return { url, client, charges, book }
  })

const test = <A, E>(name: string, run: () => Effect.Effect<A, E, HttpClient.HttpClient | Scope.Scope>) =>
  it.live(name, () => Effect.provide(run(), NodeHttpClient.layerNodeHttp))

describe("a payment provider", () => {
  test("charges, declines and refunds, once for each key", () =>
    Effect.gen(function*() {
      const { book, charges, client } = yield* payment({})
      const charged = { _tag: "Charged", chargeId: "ch_c1" } as const
      assert.deepStrictEqual(yield* client.charge("c1", 1000), charged)
      assert.deepStrictEqual(yield* client.charge("c1", 1000), charged)
      assert.deepStrictEqual(yield* client.charge("c2", 1001), { _tag: "Declined", reason: "insufficient funds" })
      assert.deepStrictEqual(yield* client.refund("r1", "c1"), { _tag: "Refunded" })
      assert.deepStrictEqual(yield* client.refund("r1", "c1"), { _tag: "Refunded" })
      assert.deepStrictEqual(yield* charges, [{ key: "c1", taken: 1000, refunded: 1000 }])
      assert.deepStrictEqual((yield* book).entries.map(({ calls, done, key }) => [key, calls, done]), [
        ["c1", 2, 1],
        ["c2", 1, 1],
        ["r1", 2, 1]
      ])
    }))

  test("takes no money for a charge that comes behind its refund", () =>
    Effect.gen(function*() {
      const { charges, client } = yield* payment({})
      assert.deepStrictEqual(yield* client.refund("r1", "c1"), { _tag: "NothingCharged" })
      assert.strictEqual((yield* client.charge("c1", 5))._tag, "Declined")
      assert.deepStrictEqual(yield* charges, [])
    }))

  test("refuses a key used for something else, a missing key, and a wrong body", () =>
    Effect.gen(function*() {
      const { book, client, url } = yield* payment({})
      yield* client.charge("c1", 5)
      const reused = yield* Effect.flip(client.charge("c1", 6))
      assert.deepInclude(reused, { _tag: "ProviderRefused", status: 409 })
      const send = (headers: Record<string, string>, body: unknown) =>
        HttpClientRequest.post(`${url}/charges`).pipe(
          HttpClientRequest.setHeaders(headers),
          HttpClientRequest.bodyJsonUnsafe(body),
          HttpClient.execute,
          Effect.map(({ status }) => status)
        )
      assert.strictEqual(yield* send({}, { amount: 5 }), 400)
      assert.strictEqual(yield* send({ [Endpoint.keyHeader]: "c3" }, { amount: "5" }), 422)
      assert.strictEqual((yield* book).withoutKey, 1)
    }))

  const cases: ReadonlyArray<readonly [fault: (typeof Fault.faults)[number], reason: string, done: number]> = [
    ["unavailable", "status 503", 0],
    ["failsAfterwards", "status 500", 1],
    ["resetBefore", "", 0],
    ["resetAfter", "", 1],
    ["stalls", "timed out", 0]
  ]
  for (const [fault, reason, done] of cases) {
    test(`${fault}: the client knows nothing, and the provider did it ${done} times`, () =>
      Effect.gen(function*() {
        const { book, charges, client } = yield* payment({ [fault]: 1, lateness: 400 })
        const error = yield* Effect.flip(client.charge("c1", 5))
        assert.strictEqual(error._tag, "ProviderUnavailable")
        assert.include(error.reason, reason)
        assert.strictEqual((yield* charges).length, done)
        assert.deepInclude((yield* book).entries[0], { calls: 1, done })
      }))
  }

  test("late: the client has given up, and then it is done all the same", () =>
    Effect.gen(function*() {
      const { charges, client } = yield* payment({ late: 1, lateness: 500 })
      const error = yield* Effect.flip(client.charge("c1", 5))
      assert.deepInclude(error, { _tag: "ProviderUnavailable", reason: "timed out" })
      assert.deepStrictEqual(yield* charges, [])
      yield* Effect.repeat(charges, { until: (charges) => charges.length === 1 })
    }))

  test("a client that insists is answered in the end, and pays once", () =>
    Effect.gen(function*() {
      const { book, charges, client } = yield* payment(Fault.unreliable(3, 0.6, 300))
      const keys = Array.from({ length: 30 }, (_, index) => `c${index}`)
      yield* Effect.forEach(
        keys,
        (key) => Effect.retry(client.charge(key, 5), { while: ({ _tag }) => _tag === "ProviderUnavailable" }),
        { concurrency: 10 }
      )
      assert.deepStrictEqual((yield* charges).map(({ taken }) => taken), keys.map(() => 5))
      const { entries } = yield* book
      assert.isAbove(entries.reduce((sum, { calls }) => sum + calls, 0), keys.length)
      assert.deepStrictEqual(Ledger.violations(yield* book), [])
    }))

  test("one that does not honour keys charges twice, and its ledger says so", () =>
    Effect.gen(function*() {
      const { book, charges, client } = yield* payment({}, "ignored")
      yield* client.charge("c1", 5)
      yield* client.charge("c1", 5)
      assert.deepStrictEqual(yield* charges, [{ key: "c1", taken: 10, refunded: 0 }])
      assert.deepStrictEqual(Ledger.violations(yield* book), ["charges c1 was done 2 times"])
    }))
})

describe("a mail provider", () => {
  test("sends a message once for each key, and bounces what has no address", () =>
    Effect.gen(function*() {
      const url = yield* Endpoint.start(MailProvider.layer(0, { script: Fault.reliable, keys: "honoured" }))
      const { send } = yield* Effect.provide(MailClient, MailClient.layer({ url, timeout }))
      const message = { to: "ada@example.org", subject: "Your tickets", text: "Row 1" }
      assert.deepStrictEqual(yield* send("m1", message), { _tag: "Sent", messageId: "msg_m1" })
      yield* send("m1", message)
      assert.strictEqual((yield* send("m2", { ...message, to: "ada" }))._tag, "Bounced")
      const sent = yield* Effect.flatMap(
        HttpClient.get(`${url}/messages`),
        HttpClientResponse.schemaBodyJson(MailProvider.Messages)
      )
      assert.deepStrictEqual(sent, [message])
    }))
})

describe("in a process of their own", () => {
  test("the providers say where they listen, and answer", () =>
    Effect.gen(function*() {
      const main = new URL("../src/main.ts", import.meta.url).pathname
      const child = yield* Effect.acquireRelease(
        Effect.sync(() => spawn(process.execPath, [main, "--limit", "10"], { stdio: ["ignore", "pipe", "inherit"] })),
        (child) =>
          Effect.promise(() => {
            const closed = once(child, "close")
            child.kill("SIGTERM")
            return closed
          })
      )
      const [line] = yield* Effect.promise(() => once(createInterface(child.stdout), "line"))
      const { payment }: { payment: string } = JSON.parse(line)
      const client = yield* Effect.provide(PaymentClient, PaymentClient.layer({ url: payment }))
      assert.strictEqual((yield* client.charge("c1", 10))._tag, "Charged")
      assert.strictEqual((yield* client.charge("c2", 11))._tag, "Declined")
      assert.isTrue(Result.isFailure(yield* Effect.result(client.charge("c1", 9))))
    }))
})
