/**
 * The aggregate that the tests of aggregates, histories and stores share. Its deposits have been through three versions.
 */
import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as Event from "@composable-ts/core/Event"
import * as Fx from "@composable-ts/core/Fx"
import { Schema } from "effect"

export const Account = Action.define("Account", {
  commands: {
    Open: { owner: Schema.String },
    Deposit: { cents: Schema.Number },
    Withdraw: { cents: Schema.Int },
    Close: {}
  },
  events: {
    Opened: Event.v1({ owner: Schema.String, at: Schema.Number }),
    Deposited: Event.v1({ euros: Schema.Number })
      .next({ cents: Schema.Int }, ({ euros }) => ({ cents: Math.round(euros * 100) }))
      .next({ cents: Schema.Int, currency: Schema.String }, ({ cents }) => ({ cents, currency: "EUR" })),
    Withdrawn: Event.v1({ cents: Schema.Int }),
    Closed: Event.v1({})
  }
})

/** The account's events as its first program declared them. */
export const AccountOf2019 = Action.define("Account", {
  commands: {},
  events: { Deposited: Event.v1({ euros: Schema.Number }) }
})

/** The account's events as its second program declared them. */
export const AccountOf2021 = Action.define("Account", {
  commands: {},
  events: {
    Deposited: Event.v1({ euros: Schema.Number }).next({ cents: Schema.Int }, ({ euros }) => ({ cents: euros * 100 }))
  }
})

export type AccountState =
  | { readonly _tag: "None" }
  | { readonly _tag: "Open"; readonly owner: string; readonly cents: number }
  | { readonly _tag: "Closed" }

export const account = Aggregate.define(Account, {
  initial: { _tag: "None" } as AccountState,
  decide: (state, command, meta) => {
    if (command._tag === "Open") {
      return state._tag === "None"
        ? Fx.append(Account.Opened({ owner: command.owner, at: meta.time }))
        : Fx.reject({ _tag: "AlreadyOpened" })
    }
    if (state._tag !== "Open") return Fx.reject({ _tag: "NotOpen" })
    switch (command._tag) {
      case "Deposit":
        return command.cents === 0
          ? Fx.none
          : Fx.append(Account.Deposited({ cents: command.cents, currency: "EUR" }))
      case "Withdraw":
        return command.cents > state.cents
          ? Fx.reject({ _tag: "Overdrawn", missing: command.cents - state.cents })
          : Fx.append(Account.Withdrawn({ cents: command.cents }))
      case "Close":
        return state.cents === 0
          ? Fx.append(Account.Closed())
          : Fx.append(Account.Withdrawn({ cents: state.cents }), Account.Closed())
    }
  },
  evolve: (state, event): AccountState => {
    switch (event._tag) {
      case "Opened":
        return { _tag: "Open", owner: event.owner, cents: 0 }
      case "Deposited":
        return state._tag === "Open" ? { ...state, cents: state.cents + event.cents } : state
      case "Withdrawn":
        return state._tag === "Open" ? { ...state, cents: state.cents - event.cents } : state
      case "Closed":
        return { _tag: "Closed" }
    }
  }
})
