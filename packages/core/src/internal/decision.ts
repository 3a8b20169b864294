/**
 * A decision taken apart: what is stored, why it is refused, and what is done once it is stored.
 */
import * as Fx from "../Fx.ts"

interface Decision<out E, out R> {
  readonly events: ReadonlyArray<E>
  readonly refusal: Fx.Reject<R> | undefined
  readonly rest: Fx.AnyFx
}

const nothing: ReadonlyArray<never> = Object.freeze([])

/** A refusal anywhere refuses the whole; events anywhere are stored together, before anything else is done. */
export const decisionOf = <E, R>(fx: Fx.AnyFx): Decision<E, R> => {
  switch (fx._tag) {
    case "Append":
      return { events: fx.events as ReadonlyArray<E>, refusal: undefined, rest: Fx.none }
    case "Reject":
      return { events: nothing, refusal: fx as Fx.Reject<R>, rest: Fx.none }
    case "Parallel":
    case "Sequential": {
      const members = fx.fx.map((member) => decisionOf<E, R>(member))
      const rest = members.map((member) => member.rest)
      return {
        events: members.flatMap((member) => member.events),
        refusal: members.find((member) => member.refusal !== undefined)?.refusal,
        rest: fx._tag === "Sequential"
          ? Fx.sequential(...rest)
          : fx.concurrency === null
          ? Fx.all(...rest)
          : Fx.parallel(fx.concurrency, ...rest)
      }
    }
    default:
      return { events: nothing, refusal: undefined, rest: fx }
  }
}
