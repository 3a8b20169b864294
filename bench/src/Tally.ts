/**
 * A counter-like feature without persistence, whose state is a small record: the takings of a till. What every
 * contestant must come to is known beforehand.
 */

/** What the till has taken. */
export interface Takings {
  readonly currency: string
  readonly sales: number
  readonly total: number
  readonly largest: number
}

/** Before the first sale. */
export const initial: Takings = { currency: "EUR", sales: 0, total: 0, largest: 0 }

const amounts = 7

/** The amount of each sale. */
export const amountAt = (index: number): number => index % amounts + 1

/** What so many sales come to. */
const takingsAfter = (sales: number): Takings => {
  const whole = Math.floor(sales / amounts)
  const rest = sales % amounts
  return {
    currency: initial.currency,
    sales,
    total: whole * amounts * (amounts + 1) / 2 + rest * (rest + 1) / 2,
    largest: Math.min(sales, amounts)
  }
}

/** What is wrong with the takings after so many sales, if anything. */
export const faultOf = (takings: Takings, sales: number): string | undefined => {
  const { currency, largest, total } = takingsAfter(sales)
  return takings.currency === currency && takings.sales === sales && takings.total === total &&
      takings.largest === largest
    ? undefined
    : `${sales} sales came to ${JSON.stringify(takings)}`
}
