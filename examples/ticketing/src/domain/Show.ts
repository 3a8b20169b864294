/**
 * A show: what other trades call an event, a word that an event-sourced program has another use for.
 *
 * Draft ──publish──▶ Published ──open sales──▶ SalesOpen ──close sales──▶ SalesClosed; cancelled from any of them, but not
 * in the last day before it begins.
 */
import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as Event from "@composable-ts/core/Event"
import * as Fx from "@composable-ts/core/Fx"
import { Schema } from "effect"
import { Inventory, inventory } from "./Inventory.ts"
import { Code, inventoryId, Section } from "./Section.ts"

/** Its stream is `show-<code>`. */
const showId = Code
const details = {
  showId,
  name: Schema.String,
  venue: Schema.String,
  /** Milliseconds since the Unix epoch. */
  startsAt: Schema.Int,
  sections: Schema.Array(Section)
}
const cancellation = { showId, reason: Schema.String }

/** The vocabulary: what can be asked of a show, and what can have happened to it. */
export const Show = Action.define("Show", {
  commands: {
    CreateShow: details,
    PublishShow: { showId },
    OpenSales: { showId },
    CloseSales: { showId },
    CancelShow: cancellation
  },
  events: {
    ShowCreated: Event.v1(details),
    ShowPublished: Event.v1({ showId }),
    SalesOpened: Event.v1({ showId }),
    SalesClosed: Event.v1({ showId }),
    ShowCancelled: Event.v1(cancellation)
  }
})

export type ShowCommand = Action.CommandOf<typeof Show>
export type ShowEvent = Action.EventOf<typeof Show>

/** How far a show has come. */
export type ShowState =
  | { readonly status: "New" }
  | {
    readonly status: "Draft" | "Published" | "SalesOpen" | "SalesClosed" | "Cancelled"
    readonly startsAt: number
    readonly sections: ReadonlyArray<Section>
  }

type Status = ShowState["status"]

/** Why a show refuses a command. */
export type ShowRefusal =
  | { readonly _tag: "AlreadyCreated" | "NoSections"; readonly showId: string }
  | { readonly _tag: "NameOutOfRange"; readonly length: number }
  | { readonly _tag: "VenueMissing" | "ReasonMissing"; readonly showId: string }
  | { readonly _tag: "SectionTwice"; readonly sectionId: string }
  | { readonly _tag: "BeginsInThePast"; readonly startsAt: number }
  | { readonly _tag: "WrongStatus"; readonly status: Status }
  | { readonly _tag: "TooLateToCancel"; readonly startsAt: number }

/** How long before its beginning a show can be cancelled at the latest, in milliseconds. */
export const cancellationNotice = 24 * 3_600_000

type Decision = Fx.Decision<ShowEvent, ShowRefusal>
type Of<Tag extends ShowCommand["_tag"]> = Extract<ShowCommand, { readonly _tag: Tag }>

const create = (state: ShowState, { _tag, ...show }: Of<"CreateShow">, now: number): Decision => {
  const { name, sections, showId, startsAt, venue } = show
  if (state.status !== "New") return Fx.reject({ _tag: "AlreadyCreated", showId })
  if (name.trim() === "" || name.length > 200) return Fx.reject({ _tag: "NameOutOfRange", length: name.length })
  if (venue.trim() === "") return Fx.reject({ _tag: "VenueMissing", showId })
  if (startsAt <= now) return Fx.reject({ _tag: "BeginsInThePast", startsAt })
  if (sections.length === 0) return Fx.reject({ _tag: "NoSections", showId })
  const ids = sections.map(({ sectionId }) => sectionId)
  const twice = ids.find((id, index) => ids.indexOf(id) !== index)
  return twice === undefined ? Fx.append(Show.ShowCreated(show)) : Fx.reject({ _tag: "SectionTwice", sectionId: twice })
}

const onlyWhen = (state: ShowState, status: Status, event: ShowEvent): Decision =>
  state.status === status ? Fx.append(event) : Fx.reject({ _tag: "WrongStatus", status: state.status })

const cancel = (state: ShowState, { reason, showId }: Of<"CancelShow">, now: number): Decision => {
  if (state.status === "New" || state.status === "Cancelled") {
    return Fx.reject({ _tag: "WrongStatus", status: state.status })
  }
  if (reason.trim() === "") return Fx.reject({ _tag: "ReasonMissing", showId })
  return now > state.startsAt - cancellationNotice
    ? Fx.reject({ _tag: "TooLateToCancel", startsAt: state.startsAt })
    : Fx.append(Show.ShowCancelled({ showId, reason }))
}

const becomes = (state: ShowState, status: Exclude<Status, "New">): ShowState =>
  state.status === "New" ? state : { ...state, status }

const closeAll = (showId: string, sections: ReadonlyArray<Section>) =>
  Fx.all(...sections.map(({ sectionId }) => {
    const id = inventoryId(showId, sectionId)
    return Fx.dispatch(inventory, id, Inventory.CloseInventory({ inventoryId: id }))
  }))

/** The aggregate: a show that decides its commands by the rules above, and has its seats sold while sales are open. */
export const show = Aggregate.define(Show, {
  initial: { status: "New" } as ShowState,
  decide: (state, command, { time }): Decision =>
    Show.match(command, {
      CreateShow: (command) => create(state, command, time),
      PublishShow: ({ showId }) => onlyWhen(state, "Draft", Show.ShowPublished({ showId })),
      OpenSales: ({ showId }) => onlyWhen(state, "Published", Show.SalesOpened({ showId })),
      CloseSales: ({ showId }) => onlyWhen(state, "SalesOpen", Show.SalesClosed({ showId })),
      CancelShow: (command) => cancel(state, command, time)
    }),
  evolve: (state, event): ShowState =>
    Show.match(event, {
      ShowCreated: ({ sections, startsAt }) => ({ status: "Draft", startsAt, sections }),
      ShowPublished: () => becomes(state, "Published"),
      SalesOpened: () => becomes(state, "SalesOpen"),
      SalesClosed: () => becomes(state, "SalesClosed"),
      ShowCancelled: () => becomes(state, "Cancelled")
    }),
  react: (state, event) => {
    if (state.status === "New") return Fx.none
    switch (event._tag) {
      case "SalesOpened":
        return Fx.all(...state.sections.map(({ capacity, price, sectionId }) => {
          const id = inventoryId(event.showId, sectionId)
          return Fx.dispatch(inventory, id, Inventory.InitializeInventory({ inventoryId: id, capacity, price }))
        }))
      case "SalesClosed":
      case "ShowCancelled":
        return closeAll(event.showId, state.sections)
      default:
        return Fx.none
    }
  }
})
