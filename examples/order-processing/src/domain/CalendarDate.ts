/**
 * A day of the calendar, such as the day of an order, without time and time zone: `1996-07-04`.
 */
import { Schema } from "effect"

const shape = /^(?!0000)\d{4}-\d{2}-\d{2}$/

/** Whether the calendar has this day: it knows no 30 February. */
const exists = (date: string): boolean => {
  const midnight = new Date(`${date}T00:00:00Z`)
  return !Number.isNaN(midnight.getTime()) && midnight.toISOString().startsWith(date)
}

/** A day that exists, as `YYYY-MM-DD`, so that comparing the texts compares the days. */
export const CalendarDate = Schema.String.check(
  Schema.makeFilter((date) =>
    shape.test(date) ? exists(date) || "Expected a day that exists" : "Expected a date such as \"1996-07-04\""
  )
)

/** A day that exists, as `YYYY-MM-DD`. */
export type CalendarDate = typeof CalendarDate.Type
