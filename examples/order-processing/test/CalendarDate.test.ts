import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { CalendarDate } from "../src/domain/CalendarDate.ts"

const isDate = Schema.is(CalendarDate)

describe("CalendarDate", () => {
  it("is a day that exists", () => {
    for (const day of ["1996-07-04", "0001-01-01", "2000-02-29", "9999-12-31"]) assert.isTrue(isDate(day), day)
    for (const day of ["1996-02-30", "1900-02-29", "1996-13-01", "1996-00-01", "1996-01-00", "0000-01-01"]) {
      assert.isFalse(isDate(day), day)
    }
  })

  it("is a day alone, written in full", () => {
    for (
      const text of [
        "",
        "1996-7-4",
        "96-07-04",
        "1996-07-04T00:00:00Z",
        "1996-07-04 ",
        " 1996-07-04",
        "+001996-07-04",
        "-001996-07-04",
        "11996-07-04",
        "1996-07"
      ]
    ) {
      assert.isFalse(isDate(text), text)
    }
  })

  it("says what is wrong with it", () => {
    const decode = Schema.decodeUnknownSync(CalendarDate)
    assert.throws(() => decode("1996-02-30"), /Expected a day that exists/)
    for (const text of ["today", "1996-07-04T00:00:00Z", "0000-01-01"]) {
      assert.throws(() => decode(text), /Expected a date such as "1996-07-04"/)
    }
  })
})
