/**
 * What a task infers, and what it forbids.
 */
import * as Fx from "@composable-ts/core/Fx"
import * as Reducer from "@composable-ts/core/Reducer"
import * as Store from "@composable-ts/core/Store"
import * as Task from "@composable-ts/core/Task"
import { Context, Effect, Layer, Schema, SchemaTransformation, type Scope } from "effect"
import { type Equals, type Proof } from "./Proof.ts"

const Charge = Task.define("Charge", {
  input: Schema.Struct({ cents: Schema.Int }),
  success: Schema.Struct({ receipt: Schema.String }),
  failure: Schema.TaggedStruct("Declined", {})
})
const Mail = Task.define("Mail", { input: Schema.String, success: Schema.Void, failure: Schema.Never })
class Bank extends Context.Service<Bank, { readonly pay: Effect.Effect<{ readonly receipt: string }> }>()("Bank") {}

export type Inferred = [
  Proof<Equals<Task.InputOf<typeof Charge>, { readonly cents: number }>>,
  Proof<Equals<Task.SuccessOf<typeof Charge>, { readonly receipt: string }>>,
  Proof<Equals<Task.FailureOf<typeof Charge>, { readonly _tag: "Declined" }>>,
  Proof<Equals<Task.HandlerOf<typeof Charge | typeof Mail>, Task.Handler<"Charge"> | Task.Handler<"Mail">>>
]

/** A layer asks for what the handler needs, and for nothing else. */
const charge = Task.layer(
  Charge,
  ({ cents }) => cents === 0 ? Effect.fail({ _tag: "Declined" } as const) : Effect.flatMap(Bank, ({ pay }) => pay)
)
const mail = Task.layer(Mail, () => Effect.void)
export type Layers = [
  Proof<Equals<typeof charge, Layer.Layer<Task.Handler<"Charge">, never, Bank>>>,
  Proof<Equals<typeof mail, Layer.Layer<Task.Handler<"Mail">>>>
]

// @ts-expect-error -- succeeds with something else
Task.layer(Charge, () => Effect.succeed("sent"))
// @ts-expect-error -- succeeds with less
Task.layer(Charge, () => Effect.succeed({}))
// @ts-expect-error -- fails in a way that was not declared
Task.layer(Mail, () => Effect.fail({ _tag: "Unreachable" } as const))
// @ts-expect-error -- reads what the input does not have
Task.layer(Charge, ({ euros }) => Effect.succeed({ receipt: String(euros) }))
// @ts-expect-error -- a value is no effect
Task.layer(Charge, () => ({ receipt: "r" }))
// @ts-expect-error -- no failure is declared: one that never fails says Schema.Never
Task.define("Silent", { input: Schema.Null, success: Schema.Null })

class Rates extends Context.Service<Rates, { readonly euro: number }>()("Rates") {}
const InEuro = Schema.Number.pipe(Schema.decodeTo(
  Schema.Number,
  SchemaTransformation.transformEffect({
    decode: (n: number) => Effect.map(Rates, ({ euro }) => n * euro),
    encode: (n: number) => Effect.map(Rates, ({ euro }) => n / euro)
  })
))
// @ts-expect-error -- an input that needs a service to decode
Task.define("Price", { input: InEuro, success: Schema.Null, failure: Schema.Never })

type Action = { readonly _tag: "Pay" } | { readonly _tag: "Done" }
const till = Reducer.withOutcomes(
  (paid: boolean, action: Action) =>
    action._tag === "Pay"
      ? Reducer.step(paid, Fx.sequential(Fx.perform(Charge, { cents: 1 }), Fx.perform(Mail, "paid")))
      : Reducer.step(true),
  {
    Charge: { success: () => ({ _tag: "Done" }), failure: () => ({ _tag: "Done" }) },
    Mail: { success: () => ({ _tag: "Done" }), failure: (never) => never }
  }
)
const store = Store.make(till, { initial: false })
const given = Effect.provide(store, Layer.mergeAll(charge, mail))

/** A store's requirements name every task that it may perform. */
export type Needs = [
  Proof<Equals<Effect.Services<typeof store>, Task.Handler<"Charge"> | Task.Handler<"Mail"> | Scope.Scope>>,
  Proof<Equals<Effect.Services<typeof given>, Bank | Scope.Scope>>
]

const run = Effect.runPromise as <A, E>(program: Effect.Effect<A, E>) => Promise<A>
const ran = Effect.scoped(store).pipe(Effect.provide(charge), Effect.provideService(Bank, { pay: Effect.never }))
// @ts-expect-error -- the handler of Mail is missing
run(ran)
// What is missing is told by its name.
export type Missing = Proof<Equals<Effect.Services<typeof ran>, Task.Handler<"Mail">>>
run(ran.pipe(Effect.provide(mail)))
