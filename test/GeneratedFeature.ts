/**
 * A feature of any number of events, as text: what the type checker is given to show what it costs. It has what features
 * have: a command for every third event, fields of several kinds, branded, optional and nested ones among them, older
 * versions, an exhaustive decide and an exhaustive evolve, refusals, and a program that dispatches and reads.
 */

/** Every so many events one has an older version, and every so many two. */
const olderEvery = 10
const twiceOlderEvery = 50
/** Every so many events there is a command that leads to one. */
const commandEvery = 3

const numbers = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, nr) => nr)

/** Besides an id and an amount, which all have. */
const kinds = [
  { field: "note: Schema.optionalKey(Schema.String)", value: "" },
  { field: "lines: Schema.Array(Schema.Struct({ sku: Schema.String, quantity: Schema.Int }))", value: ", lines: []" },
  { field: "at: Schema.DateTimeUtc", value: ", at: DateTime.makeUnsafe(meta.time)" },
  { field: "carrier: Schema.Literals([\"ups\", \"dhl\"])", value: ", carrier: \"ups\"" }
] as const

const kindOf = (nr: number) => kinds[nr % kinds.length]!

const fields = (nr: number): string => `{ id: Id, amount${nr}: Schema.Int, ${kindOf(nr).field} }`

const event = (nr: number): string => {
  if (nr % olderEvery !== 0) return `    Happened${nr}: Event.v1(${fields(nr)})`
  const to = (next: string, old: string) => `\n      .next(${next}, (old) => ({ ...old, ${old} }))`
  const current = `currency: Schema.String, ${fields(nr).slice(2)}`
  return nr % twiceOlderEvery === 0
    ? `    Happened${nr}: Event.v1({ id: Id })` +
      to(`{ id: Id, currency: Schema.String }`, `currency: "EUR"`) +
      to(`{ ${current}`, `amount${nr}: 0${kindOf(nr).value.replace("meta.time", "0")}`)
    : `    Happened${nr}: Event.v1(${fields(nr)})${to(`{ ${current}`, `currency: "EUR"`)}`
}

const decided = (nr: number): string => {
  const currency = nr % olderEvery === 0 ? `currency: "EUR", ` : ""
  return `      case "Do${nr}":
        return state.count < command.amount
          ? Fx.append(Feature.Happened${nr}({ ${currency}id: command.id, amount${nr}: command.amount${
    kindOf(nr).value
  } }))
          : Fx.reject({ _tag: "TooMuch", most: state.count })`
}

const evolved = (nr: number): string =>
  `      case "Happened${nr}":
        return { ...state, count: state.count + 1, total: state.total + event.amount${nr} }`

/** The program text of a feature of so many events. */
export const featureOf = (events: number): string => {
  const all = numbers(events)
  const commanded = all.filter((nr) => nr % commandEvery === 0)
  return `import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as Event from "@composable-ts/core/Event"
import * as Fx from "@composable-ts/core/Fx"
import * as Store from "@composable-ts/core/Store"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

const Id = Schema.String.pipe(Schema.brand("Id"))

export const Feature = Action.define("Feature", {
  commands: {
${commanded.map((nr) => `    Do${nr}: { id: Id, amount: Schema.Int }`).join(",\n")}
  },
  events: {
${all.map(event).join(",\n")}
  }
})

interface State {
  readonly count: number
  readonly total: number
}

export const feature = Aggregate.define(Feature, {
  initial: { count: 0, total: 0 } as State,
  decide: (state, command, meta) => {
    switch (command._tag) {
${commanded.map(decided).join("\n")}
    }
  },
  evolve: (state, event): State => {
    switch (event._tag) {
${all.map(evolved).join("\n")}
    }
  }
})

export const program = Effect.gen(function*() {
  const store = yield* Store.aggregate(feature)
  const { state } = yield* store.dispatch("1", Feature.Do0({ id: Id.make("1"), amount: 1 }))
  return state.total
}).pipe(Effect.catchTag("TooMuch", ({ most }) => Effect.succeed(most)))
`
}
