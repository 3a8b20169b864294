/**
 * What a description comes down to.
 */
import type * as Fx from "@composable-ts/core/Fx"

/** Everything that is done as a whole, group by group; nothing for what does nothing. */
export const leaves = (fx: Fx.AnyFx): ReadonlyArray<Fx.AnyFx> =>
  fx._tag === "None" ? [] : "fx" in fx ? fx.fx.flatMap(leaves) : [fx]
