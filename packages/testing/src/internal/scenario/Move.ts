/**
 * What may happen next, for those who follow several futures: a choice of deeds, of which one is done.
 */
import type * as Fx from "@composable-ts/core/Fx"
import * as Duration from "effect/Duration"
import type { Deed, Ending, Which } from "./Deed.ts"

export interface Move {
  readonly _tag: "Move"
  readonly choices: ReadonlyArray<Deed>
}

/** A declaration, and which of the things under way that it is the declaration of. */
export interface One<out D> {
  readonly _tag: "One"
  readonly declaration: D
  readonly which: Which
}

type Named = { readonly name: string }
type Categorised = { readonly category: string }

const any: Which = {}

const isOne = <D extends object>(declaration: D | One<D>): declaration is One<D> =>
  "_tag" in declaration && declaration._tag === "One"

const pick = <D extends object>(given: D | One<D>): Pick<One<D>, "declaration" | "which"> =>
  isOne(given) ? given : { declaration: given, which: any }

export const send = (action: unknown): Deed => ({ _tag: "Send", action })

export const answer = (task: Named | One<Named>, input: unknown, ending: Ending): Deed => {
  const { declaration: { name }, which } = pick(task)
  const meant = typeof input === "function" ? { test: input as (input: never) => boolean } : { input }
  return { _tag: "Answer", name, which, meant, ending }
}

export const yields = (source: Named | One<Named>, values: ReadonlyArray<unknown>): Deed => {
  const { declaration: { name }, which } = pick(source)
  return { _tag: "Yield", name, which, values }
}

export const ends = (source: Named | One<Named>): Deed => {
  const { declaration: { name }, which } = pick(source)
  return { _tag: "End", name, which }
}

export const fails = (source: Named | One<Named>, error: unknown): Deed => {
  const { declaration: { name }, which } = pick(source)
  return { _tag: "Fail", name, which, error }
}

export const loads = (aggregate: Categorised | One<Categorised>, current: unknown): Deed => {
  const { declaration: { category }, which } = pick(aggregate)
  return { _tag: "Load", category, which, current }
}

export const ran = (action: unknown, which: Which = any): Deed => ({ _tag: "Ran", which, action })
export const completes = (fx: Fx.AnyFx, which: Which = any): Deed => ({ _tag: "Complete", fx, which })
export const breaks = (fx: Fx.AnyFx, which: Which = any): Deed => ({ _tag: "Break", fx, which })
export const advance = (duration: Duration.Input): Deed => ({
  _tag: "Advance",
  millis: Duration.toMillis(Duration.fromInputUnsafe(duration))
})

const move = (...choices: ReadonlyArray<Deed>): Move => ({ _tag: "Move", choices })

/** A maker of moves. */
export const may = {
  send: (action: unknown) => move(send(action)),
  answer: (task: Named | One<Named>, input: unknown, ...endings: ReadonlyArray<Ending>) =>
    move(...endings.map((ending) => answer(task, input, ending))),
  yields: (source: Named | One<Named>, ...values: ReadonlyArray<unknown>) => move(yields(source, values)),
  ends: (source: Named | One<Named>) => move(ends(source)),
  fails: (source: Named | One<Named>, error: unknown) => move(fails(source, error)),
  loads: (aggregate: Categorised | One<Categorised>, ...currents: ReadonlyArray<unknown>) =>
    move(...currents.map((current) => loads(aggregate, current))),
  ran: (action: unknown, which?: Which) => move(ran(action, which)),
  completes: (fx: Fx.AnyFx, which?: Which) => move(completes(fx, which)),
  breaks: (fx: Fx.AnyFx, which?: Which) => move(breaks(fx, which)),
  advance: (duration: Duration.Input) => move(advance(duration))
}
