/**
 * What the orders that are measured contain, and what becomes of them, whoever handles them.
 */

/** An order's content, as it is placed or revised. Prices are in cents. */
export interface Content {
  readonly orderId: string
  readonly customerId: string
  readonly currency: string
  readonly lines: ReadonlyArray<{ readonly sku: string; readonly quantity: number; readonly unitPrice: number }>
  readonly note: string
}

/** What is known of an order. */
export interface State {
  readonly placed: boolean
  readonly revisions: number
  readonly total: number
}

/** Before anything has happened. */
export const initial: State = { placed: false, revisions: 0, total: 0 }

/** What the lines cost. */
export const totalOf = ({ lines }: Pick<Content, "lines">): number => {
  let total = 0
  for (const { quantity, unitPrice } of lines) total += quantity * unitPrice
  return total
}

/** The content of an order; the index varies it. */
export const contentAt = (id: string, index: number): Content => ({
  orderId: id,
  customerId: "0192f3a4-7c1e-7d52-9b1a-5e0c3f6d2a91",
  currency: "EUR",
  lines: [
    { sku: "KEY-0815-DE", quantity: 1 + index % 3, unitPrice: 8_990 },
    { sku: "MOUSE-47-BK", quantity: 2, unitPrice: 2_495 },
    { sku: "PAD-XL", quantity: 1, unitPrice: 1_290 }
  ],
  note: "Leave the parcel at the reception desk"
})

/** What an order that is placed, then revised, must come to after so many events. */
export const stateAfter = (id: string, events: number): State => ({
  placed: true,
  revisions: events - 1,
  total: totalOf(contentAt(id, events - 1))
})
