/**
 * What commands print on standard output: text for people, or one JSON document for programs.
 */
import { BigDecimal, Console, type Effect } from "effect"
import { Flag } from "effect/cli"
import { format } from "../domain/Decimal.ts"
import type { Money } from "../domain/Money.ts"

/** `--json`. */
export const jsonFlag = Flag.Boolean("json").pipe(
  Flag.withDescription("Print one JSON document instead of text; amounts are decimal strings"),
  Flag.withDefault(false)
)

/** Prints one JSON document. */
export const printJson = (document: unknown): Effect.Effect<void> => Console.log(JSON.stringify(document, null, 2))

/** An amount rounded to the cent, half a cent away from zero, as PostgreSQL rounds. */
export const cents = (amount: Money): string => format(BigDecimal.round(amount, { scale: 2, mode: "half-from-zero" }))

/** A time by the log's clock, in milliseconds since the Unix epoch: `2026-11-23T16:05:00.000Z`. */
export const isoTime = (millis: number): string => new Date(millis).toISOString()
