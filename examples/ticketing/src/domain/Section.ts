/**
 * A section of a venue, and how the inventory of a section of a show is named.
 */
import { Schema } from "effect"
import { Amount } from "payment/Money"

/** A short name for a show or a section. Without a colon, so that two of them can be joined by one. */
export const Code = Schema.String.check(Schema.isPattern(/^[A-Za-z0-9_-]{1,40}$/))

/** A section: its name, how many seats it has, what one costs in minor units. */
export const Section = Schema.Struct({
  sectionId: Code,
  capacity: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 10_000 })),
  price: Amount
})

/** A section: its name, how many seats it has, what one costs in minor units. */
export type Section = typeof Section.Type

/** Names the inventory of a section; its stream is `inventory-<show>:<section>`. */
export const inventoryId = (showId: string, sectionId: string): string => `${showId}:${sectionId}`
