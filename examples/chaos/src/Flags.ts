/**
 * What every chaos script can be told.
 */
import { Flag } from "effect/cli"

/** How much work there is. */
export const count = (what: string, usually: number) =>
  Flag.Int("count").pipe(
    Flag.withDescription(`How many ${what}`),
    Flag.filter((count) => count >= 2, (count) => `Expected 2 at least, got ${count}`),
    Flag.withDefault(usually)
  )

/** The same work and the same fates for the same seed. */
export const seed = Flag.Int("seed").pipe(
  Flag.withDescription("The same seed brings the same work and the same fates; their moments differ"),
  Flag.withDefault(Math.floor(Math.random() * 1_000_000))
)
