/**
 * What a source infers, and what it forbids.
 */
import * as Fx from "@composable-ts/core/Fx"
import * as Reducer from "@composable-ts/core/Reducer"
import * as Source from "@composable-ts/core/Source"
import * as Store from "@composable-ts/core/Store"
import * as Task from "@composable-ts/core/Task"
import { Context, Effect, type Layer, Schema, type Scope, Stream } from "effect"
import { type Equals, type Proof } from "./Proof.ts"

const Courier = Source.define("Courier", {
  input: Schema.Struct({ parcel: Schema.String }),
  value: Schema.Finite,
  failure: Schema.TaggedStruct("Lost", { at: Schema.Finite })
})
const Weather = Source.define("Weather", { input: Schema.Null, value: Schema.String, failure: Schema.Never })

export type Parts = [
  Proof<Equals<Source.InputOf<typeof Courier>, { readonly parcel: string }>>,
  Proof<Equals<Source.ValueOf<typeof Courier>, number>>,
  Proof<Equals<Source.FailureOf<typeof Courier>, { readonly _tag: "Lost"; readonly at: number }>>,
  Proof<Equals<Source.FailureOf<typeof Weather>, never>>,
  Proof<
    Equals<Source.HandlerOf<typeof Courier | typeof Weather>, Source.Handler<"Courier"> | Source.Handler<"Weather">>
  >
]

const both = Fx.all(Fx.subscribe(Courier, { parcel: "p" }, "c"), Fx.sequential(Fx.subscribe(Weather, null, "w")))
export type Described = [
  Proof<Equals<Fx.SourceOf<typeof both>, typeof Courier | typeof Weather>>,
  Proof<Equals<Fx.TaskOf<typeof both>, never>>,
  Proof<Equals<Fx.NeedsOf<typeof both>, Source.Handler<"Courier"> | Source.Handler<"Weather"> | Scope.Scope>>
]

// @ts-expect-error -- another input than the source's
Fx.subscribe(Courier, { id: "p" }, "c")
// @ts-expect-error -- no id: nobody could end it
Fx.subscribe(Courier, { parcel: "p" })
// @ts-expect-error -- a source by its bare name
Fx.subscribe("Courier", { parcel: "p" }, "c")
// @ts-expect-error -- a source is followed, not performed
Fx.perform(Courier, { parcel: "p" })
const Charge = Task.define("Charge", { input: Schema.Null, success: Schema.Null, failure: Schema.Never })
// @ts-expect-error -- a task is performed, not followed
Fx.subscribe(Charge, null, "c")

/** The handler's own needs are those of its layer. */
class Gps extends Context.Service<Gps, { readonly positions: Stream.Stream<number> }>()("test/Gps") {}
const gps = Source.layer(Courier, () => Stream.unwrap(Effect.map(Gps, ({ positions }) => positions)))
export type Layers = Proof<Equals<typeof gps, Layer.Layer<Source.Handler<"Courier">, never, Gps>>>
const positions = Source.layer(Courier, ({ parcel }) => Stream.make(parcel.length))
// @ts-expect-error -- values of another type
Source.layer(Courier, () => Stream.make("here"))
// @ts-expect-error -- a failure that the source does not declare
Source.layer(Courier, () => Stream.fail({ _tag: "Stolen" }))
// @ts-expect-error -- a source that never fails fails
Source.layer(Weather, () => Stream.fail("rain"))

type Do = { readonly _tag: "Go" } | { readonly _tag: "Near"; readonly km: number }
const going = (km: number, action: Do) =>
  action._tag === "Go" ? Reducer.step(km, Fx.subscribe(Courier, { parcel: "p" }, "c")) : Reducer.step(action.km)

/** Parameters are inferred: values, failures and the request in hand. */
const answered = Reducer.withOutcomes(going, {
  Courier: {
    value: (km, { parcel }) => ({ _tag: "Near", km: km + parcel.length }),
    failure: ({ at }) => ({ _tag: "Near", km: at }),
    end: ({ parcel }) => ({ _tag: "Near", km: parcel.length })
  }
})
const program = Effect.scoped(Store.make(answered, { initial: 0 }))
export type Needs = Proof<Equals<Effect.Services<typeof program>, Source.Handler<"Courier">>>

const runnable = (effect: Effect.Effect<unknown>) => effect
runnable(Effect.provide(program, positions))
// @ts-expect-error -- the handler is missing
runnable(program)

// @ts-expect-error -- nothing says what the source's values mean
Store.make(going, { initial: 0 })
const near = (km: number) => ({ _tag: "Near", km }) as const
const lost = ({ at }: { readonly at: number }) => near(at)
// @ts-expect-error -- no action for the failure
Reducer.withOutcomes(going, { Courier: { value: near } })
// @ts-expect-error -- what a value becomes is no action of the feature
Reducer.withOutcomes(going, { Courier: { value: (km) => ({ _tag: "Far", km }), failure: lost } })
// @ts-expect-error -- a source does not succeed
Reducer.withOutcomes(going, { Courier: { success: near, failure: lost } })
