/**
 * Both providers in a process of their own: `node src/main.ts --failures 0.3`. Prints one line of JSON with their addresses
 * when they listen, and serves until it is interrupted.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Console, Effect } from "effect"
import { Command, Flag } from "effect/cli"
import * as Endpoint from "./Endpoint.ts"
import * as Fault from "./Fault.ts"
import * as MailProvider from "./MailProvider.ts"
import * as PaymentProvider from "./PaymentProvider.ts"

const port = (name: string) =>
  Flag.Int(name).pipe(Flag.withDescription("The port; 0, the default, is any that is free"), Flag.withDefault(0))

const isProbability = (number: number) => number >= 0 && number <= 1

const providers = Command.make(
  "providers",
  {
    paymentPort: port("payment-port"),
    mailPort: port("mail-port"),
    seed: Flag.Int("seed").pipe(Flag.withDescription("The same failures for the same seed"), Flag.withDefault(1)),
    failures: Flag.Finite("failures").pipe(
      Flag.withDescription("The probability that a request fails in one of the ways there are"),
      Flag.filter(isProbability, (number) => `Expected a probability from 0 to 1, got ${number}`),
      Flag.withDefault(0)
    ),
    lateness: Flag.Int("lateness").pipe(
      Flag.withDescription("How late is late, in milliseconds"),
      Flag.withDefault(3000)
    ),
    limit: Flag.Int("limit").pipe(
      Flag.withDescription("Cards are declined beyond this, in minor units"),
      Flag.withDefault(100_000)
    ),
    keys: Flag.Literals("keys", ["honoured", "ignored"]).pipe(
      Flag.withDescription("Whether a request under a known key is answered, or carried out once more"),
      Flag.withDefault("honoured")
    )
  },
  Effect.fn(function*({ failures, keys, lateness, limit, mailPort, paymentPort, seed }) {
    const behaviour = { script: Fault.unreliable(seed, failures, lateness), keys }
    const payment = yield* Endpoint.start(PaymentProvider.layer(paymentPort, { ...behaviour, limit }))
    const mail = yield* Endpoint.start(MailProvider.layer(mailPort, behaviour))
    yield* Console.log(JSON.stringify({ payment, mail }))
    return yield* Effect.never
  }, Effect.scoped)
).pipe(Command.withDescription("Payment and mail providers on the loopback interface, for examples and their tests"))

Command.run(providers, { version: "0.1.0" }).pipe(Effect.provide(NodeServices.layer), NodeRuntime.runMain)
