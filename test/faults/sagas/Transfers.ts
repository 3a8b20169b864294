/**
 * Accounts, and a saga that carries money from one to another. An account knows nothing of transfers that came twice, so
 * every command that takes effect twice, or not at all, shows in the sum.
 */
import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as AggregateStore from "@composable-ts/core/AggregateStore"
import * as Compensation from "@composable-ts/core/Compensation"
import * as DurableAggregate from "@composable-ts/core/DurableAggregate"
import * as EffectWorker from "@composable-ts/core/EffectWorker"
import * as Event from "@composable-ts/core/Event"
import { EventStore } from "@composable-ts/core/EventStore"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as Fx from "@composable-ts/core/Fx"
import { Outbox } from "@composable-ts/core/Outbox"
import type { RecordedEvent } from "@composable-ts/core/RecordedEvent"
import * as StreamId from "@composable-ts/core/StreamId"
import * as Saga from "@composable-ts/projections/Saga"
import { Effect, Layer, Result, Schema } from "effect"
import assert from "node:assert/strict"

const booking = { transfer: Schema.String, cents: Schema.Int }

export const Account = Action.define("Account", {
  commands: {
    Open: { cents: Schema.Int },
    Close: {},
    Withdraw: booking,
    Deposit: booking,
    Refund: booking
  },
  events: {
    Opened: Event.v1({ cents: Schema.Int }),
    Closed: Event.v1({}),
    Withdrawn: Event.v1(booking),
    Deposited: Event.v1(booking),
    Refunded: Event.v1(booking)
  }
})

interface AccountState {
  readonly cents: number
  readonly closed: boolean
}

export const account = Aggregate.define(Account, {
  initial: { cents: 0, closed: false } as AccountState,
  decide: (state, command) => {
    switch (command._tag) {
      case "Open":
        return Fx.append(Account.Opened(command))
      case "Close":
        return Fx.append(Account.Closed())
      case "Withdraw":
        return state.cents < command.cents ? Fx.reject({ _tag: "NotEnough" }) : Fx.append(Account.Withdrawn(command))
      case "Deposit":
        return state.closed ? Fx.reject({ _tag: "AccountClosed" }) : Fx.append(Account.Deposited(command))
      case "Refund":
        return Fx.append(Account.Refunded(command))
    }
  },
  evolve: (state, event): AccountState => {
    switch (event._tag) {
      case "Closed":
        return { ...state, closed: true }
      case "Withdrawn":
        return { ...state, cents: state.cents - event.cents }
      default:
        return { ...state, cents: state.cents + event.cents }
    }
  }
})

const wanted = {
  transfer: Schema.String,
  from: Schema.String,
  to: Schema.String,
  cents: Schema.Int,
  /** How long the payer's account may take, in milliseconds. */
  patience: Schema.Int
}

/** Where transfers are asked for. */
export const Desk = Action.define("Desk", {
  commands: {},
  events: {
    TransferRequested: Event.v1(wanted)
  }
})

export type Request = Action.EventOf<typeof Desk>

const plan = Compensation.of({ withdrawal: { undo: "undo" } })

export const Transfer = Action.define("Transfer", {
  commands: {
    Begin: wanted,
    NoteWithdrawn: {},
    NoteNoWithdrawal: { why: Schema.String },
    NoteDeposited: {},
    NoteNoDeposit: { why: Schema.String },
    NoteRefunded: {},
    LosePatience: {}
  },
  events: {
    Begun: Event.v1(wanted),
    Debited: Event.v1({}),
    Abandoned: Event.v1({ why: Schema.String }),
    Completed: Event.v1({}),
    Refused: Event.v1({ why: Schema.String }),
    Compensated: Event.v1({})
  }
})

type TransferEvent = Action.EventOf<typeof Transfer>

interface TransferState {
  readonly phase: "new" | "withdrawing" | "depositing" | "abandoned" | "over"
  readonly request: { readonly transfer: string; readonly from: string; readonly to: string; readonly cents: number }
  readonly done: typeof plan.initial
}

/** To be abandoned is to take back what was done, also what is heard of later. */
const evolve = (state: TransferState, event: TransferEvent): TransferState => {
  switch (event._tag) {
    case "Begun":
      return { ...state, phase: "withdrawing", request: event }
    case "Debited": {
      const done = plan.completed(state.done, "withdrawal")
      return { ...state, done, phase: state.phase === "abandoned" ? "abandoned" : "depositing" }
    }
    case "Abandoned":
      return { ...state, phase: "abandoned", done: plan.compensate(state.done) }
    case "Compensated":
      return { ...state, phase: "over", done: plan.undone(state.done, "withdrawal") }
    default:
      return { ...state, phase: "over" }
  }
}

const initial: TransferState = {
  phase: "new",
  request: { transfer: "", from: "", to: "", cents: 0 },
  done: plan.initial
}

export const transfer = Aggregate.define(Transfer, {
  initial,
  decide: (state, command) => {
    switch (command._tag) {
      case "Begin":
        return state.phase === "new" ? Fx.append(Transfer.Begun(command)) : Fx.none
      case "NoteWithdrawn":
        return state.done.steps.length === 0 ? Fx.append(Transfer.Debited()) : Fx.none
      case "NoteNoWithdrawal":
        return state.phase === "new" || state.phase === "over" || state.done.steps.length > 0
          ? Fx.none
          : Fx.append(Transfer.Refused(command))
      case "NoteDeposited":
        return state.phase === "depositing" ? Fx.append(Transfer.Completed()) : Fx.none
      case "NoteNoDeposit":
        return state.phase === "depositing" ? Fx.append(Transfer.Abandoned(command)) : Fx.none
      case "NoteRefunded":
        return plan.next(state.done) === undefined ? Fx.none : Fx.append(Transfer.Compensated())
      case "LosePatience":
        return state.phase === "withdrawing" ? Fx.append(Transfer.Abandoned({ why: "patience" })) : Fx.none
    }
  },
  evolve,
  react: ({ done, request: { cents, from, to, transfer } }, event) => {
    const booking = { transfer, cents }
    const refund = plan.next(done) === undefined ? Fx.none : Fx.dispatch(account, from, Account.Refund(booking))
    switch (event._tag) {
      case "Begun":
        return Fx.all(
          Fx.dispatch(account, from, Account.Withdraw(booking)),
          Fx.delay("patience", event.patience, Transfer.LosePatience())
        )
      case "Debited":
        return Fx.all(
          Fx.cancel("patience"),
          done.phase === "forward" ? Fx.dispatch(account, to, Account.Deposit(booking)) : refund
        )
      case "Abandoned":
        return refund
      case "Refused":
        return Fx.cancel("patience")
      default:
        return Fx.none
    }
  }
})

export const durableAccount = DurableAggregate.make(account)
export const durableTransfer = DurableAggregate.make(transfer, {
  targets: [
    DurableAggregate.target(account, ({ command, reason }) =>
      command._tag === "Withdraw"
        ? Transfer.NoteNoWithdrawal({ why: reason._tag })
        : Transfer.NoteNoDeposit({ why: reason._tag }))
  ]
})

const ofTransfer = ({ transfer }: { readonly transfer: string }) => transfer

export const transfers = Saga.define(durableTransfer, {
  name: "transfers",
  inputs: [
    Saga.on({ category: "desk", actions: Desk }, "TransferRequested", {
      correlate: ofTransfer,
      toCommand: (request) => Transfer.Begin(request)
    }),
    Saga.on(account, "Withdrawn", { correlate: ofTransfer, toCommand: () => Transfer.NoteWithdrawn() }),
    Saga.on(account, "Deposited", { correlate: ofTransfer, toCommand: () => Transfer.NoteDeposited() }),
    Saga.on(account, "Refunded", { correlate: ofTransfer, toCommand: () => Transfer.NoteRefunded() })
  ],
  ends: ["Completed", "Refused", "Compensated"]
})

/** The stores of all aggregates; none needs another. */
export const stores = Layer.mergeAll(
  AggregateStore.layerDurable(durableAccount),
  AggregateStore.layerDurable(durableTransfer)
)

/** Carries out the effects of both. */
export const worker = (options: EffectWorker.Options) =>
  EffectWorker.run([durableTransfer, durableAccount], options).pipe(Effect.provide(stores))

/** Opens accounts, each with so much. */
export const openAccounts = (ids: ReadonlyArray<string>, cents: number, closed: ReadonlyArray<string> = []) =>
  Effect.gen(function*() {
    const accounts = yield* AggregateStore.makeDurable(durableAccount)
    yield* Effect.forEach(ids, (id) => accounts.dispatch(id, Account.Open({ cents })), { discard: true })
    yield* Effect.forEach(closed, (id) => accounts.dispatch(id, Account.Close()), { discard: true })
  })

/** Asks for a transfer. */
export const request = (wanted: Omit<Request, "_tag">) =>
  Effect.gen(function*() {
    const events = yield* EventStore
    const event = Result.getOrThrow(Desk.encode(Desk.TransferRequested(wanted)))
    const desk = Result.getOrThrow(StreamId.make("desk", "1"))
    yield* events.append(desk, ExpectedVersion.any, [event])
  })

/** The whole log, page by page. */
export const log = Effect.gen(function*() {
  const events = yield* EventStore
  const all: Array<RecordedEvent> = []
  while (true) {
    const page = yield* events.readAll({ after: BigInt(all.length), limit: 500 })
    all.push(...page.events)
    if (page.position >= page.head) return all
  }
})

/** What a transfer has come to: what was stored of it, in order, and how it ended. */
interface Story {
  readonly accounts: Array<string>
  readonly saga: Array<string>
}

/** The stories that a transfer may have. */
const stories = {
  Completed: { accounts: ["Withdrawn", "Deposited"], saga: ["Begun", "Debited", "Completed"] },
  Refused: { accounts: [], saga: ["Begun", "Refused"] },
  /** The account of the payee was closed. */
  Compensated: {
    accounts: ["Withdrawn", "Refunded"],
    saga: ["Begun", "Debited", "Abandoned", "Compensated"]
  },
  /** The payer's account took too long to refuse, or to pay. */
  LateRefused: { accounts: [], saga: ["Begun", "Abandoned", "Refused"] },
  Late: { accounts: ["Withdrawn", "Refunded"], saga: ["Begun", "Abandoned", "Debited", "Compensated"] }
}

/** How a transfer ended. */
export type Ending = keyof typeof stories | "under way"

const endingOf = (story: Story): Ending | undefined => {
  const names = Object.keys(stories) as Array<keyof typeof stories>
  const ended = names.find((name) => {
    const { accounts, saga } = stories[name]
    return `${accounts}` === `${story.accounts}` && `${saga}` === `${story.saga}`
  })
  if (ended !== undefined) return ended
  const isBegun = (name: keyof typeof stories) =>
    stories[name].accounts.join().startsWith(story.accounts.join()) &&
    stories[name].saga.join().startsWith(story.saga.join())
  return names.some(isBegun) ? "under way" : undefined
}

/**
 * Checks that no money was made or lost, that no account owes any, and that each transfer has a story that it may have:
 * each step of it once. Returns the endings.
 */
export const verify = (total: number, events: ReadonlyArray<RecordedEvent>): ReadonlyMap<string, Ending> => {
  const balances = new Map<string, number>()
  const requests = new Map<string, Request>()
  const of = new Map<string, Story>()
  let inTransit = 0
  for (const recorded of events) {
    const dash = recorded.streamId.indexOf("-")
    const [category, id] = [recorded.streamId.slice(0, dash), recorded.streamId.slice(dash + 1)]
    if (category === "desk") {
      const requested = Result.getOrThrow(Desk.decode(recorded))
      requests.set(requested.transfer, requested)
      of.set(requested.transfer, { accounts: [], saga: [] })
    } else if (category === "transfer") {
      of.get(id)?.saga.push(Result.getOrThrow(Transfer.decode(recorded))._tag)
    } else {
      const event = Result.getOrThrow(Account.decode(recorded))
      if (event._tag === "Closed") continue
      const sign = event._tag === "Withdrawn" ? -1 : 1
      const balance = (balances.get(id) ?? 0) + sign * event.cents
      assert.ok(balance >= 0, `account ${id} owes ${-balance} at position ${recorded.globalPosition}`)
      balances.set(id, balance)
      if (event._tag === "Opened") continue
      inTransit -= sign * event.cents
      const { from, to } = requests.get(event.transfer)!
      assert.strictEqual(id, event._tag === "Deposited" ? to : from)
      of.get(event.transfer)!.accounts.push(event._tag)
    }
  }
  const endings = new Map<string, Ending>()
  for (const [transfer, story] of of) {
    const ending = endingOf(story)
    assert.ok(ending !== undefined, `transfer ${transfer} has no story that it may have: ${JSON.stringify(story)}`)
    endings.set(transfer, ending)
  }
  assert.strictEqual([...balances.values()].reduce((a, b) => a + b, 0) + inTransit, total, "money was made or lost")
  if (![...endings.values()].includes("under way")) assert.strictEqual(inTransit, 0, "money is still on its way")
  return endings
}

/** Whether every transfer has ended. */
export const areOver = (endings: ReadonlyMap<string, Ending>): boolean => ![...endings.values()].includes("under way")

/**
 * Checks that effects and events are of one commit, on both sides: whoever sees that a transfer has begun sees its effect
 * or what came of it, and whoever sees what came of an effect does not see the effect any more. And every command of an
 * effect has an id that derives from it.
 */
export const verifyCommits = Effect.gen(function*() {
  const outbox = yield* Outbox
  const before = yield* log
  const left = yield* outbox.list({ limit: 1_000 })
  const behind = yield* log
  const commands = new Set(before.map(({ commandId }) => commandId))
  for (const entry of left) {
    const id = DurableAggregate.commandId(entry)
    assert.ok(!commands.has(id), `${id} is done, and there still is what asks for it`)
  }
  const waiting = new Set(left.filter(({ kind }) => kind === "transfer/dispatch.v1").map(({ streamId }) => streamId))
  const answered = new Set(behind.flatMap((recorded) => {
    if (recorded.type === "Refused.v1") return recorded.streamId
    return recorded.type === "Withdrawn.v1"
      ? `transfer-${(recorded.data as { readonly transfer: string }).transfer}`
      : []
  }))
  for (const { streamId, type } of before) {
    const isKept = type !== "Begun.v1" || waiting.has(streamId) || answered.has(streamId)
    assert.ok(isKept, `${streamId} has begun, and nobody is asked for the money`)
  }
  for (const { commandId, type } of behind) {
    const isEffect = /^(Withdrawn|Deposited|Refunded)\./.test(type)
    assert.ok(!isEffect || /^effect:\d+-\d+$/.test(commandId), `${type} by ${commandId}, which no effect has`)
  }
})
