/**
 * A point in time on the command line.
 */
import { Schema } from "effect"
import { CalendarDate } from "../domain/CalendarDate.ts"

const isDate = Schema.is(CalendarDate)
const shape = /^(\d{4}-\d{2}-\d{2})(?:T([\d:.]+)(Z|[+-]\d{2}:\d{2})?)?$/

/**
 * Milliseconds since the Unix epoch of a time in ISO 8601: `2026-11-23T16:05:00Z`. It is taken as UTC unless it says
 * otherwise, and the time of the day may be left out. Throws an error that says what is expected when the text is no such time.
 */
export const parse = (text: string): number => {
  const [, date = "", time = "00:00", zone = "Z"] = shape.exec(text) ?? []
  const millis = Date.parse(`${date}T${time}${zone}`)
  if (!isDate(date) || Number.isNaN(millis)) {
    throw new RangeError("a time such as 2026-11-23T16:05:00Z")
  }
  return millis
}
