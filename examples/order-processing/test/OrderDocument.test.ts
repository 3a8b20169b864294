import { assert, describe, it } from "@effect/vitest"
import { BigDecimal, Result, type Schema } from "effect"
import { Order } from "../src/domain/Order.ts"
import { decode, toCommands } from "../src/import/OrderDocument.ts"

const line = {
  productId: "41",
  productName: "Jack's New England Clam Chowder",
  category: "Seafood",
  unitPrice: "7.70",
  quantity: 10,
  discount: "0.05"
}

const document = {
  orderId: "10250",
  customerId: "HANAR",
  customerName: "Hanari Carnes",
  orderedAt: "1996-07-08",
  requiredAt: "1996-08-05",
  shippedAt: "1996-07-12",
  shipper: "United Package",
  freight: "65.83",
  shipTo: {
    name: "Hanari Carnes",
    street: "Rua do Paço, 67",
    city: "Rio de Janeiro",
    region: "RJ",
    postalCode: "05454-876",
    country: "Brazil"
  },
  lines: [line]
}

const { customerId: _, ...withoutCustomer } = document

const reason = (json: Schema.Json): string => {
  const decoded = decode(JSON.stringify(json))
  return Result.isFailure(decoded) ? decoded.failure : "accepted"
}

describe("OrderDocument", () => {
  it("becomes commands to place and to ship the order", () => {
    assert.deepStrictEqual(toCommands(Result.getOrThrow(decode(JSON.stringify(document)))), [
      Order.PlaceOrder({
        orderId: "10250",
        customer: { id: "HANAR", name: "Hanari Carnes" },
        orderedOn: "1996-07-08",
        requiredOn: "1996-08-05",
        shipper: "United Package",
        freight: BigDecimal.fromStringUnsafe("65.83"),
        shipTo: document.shipTo,
        lines: [{
          ...line,
          unitPrice: BigDecimal.fromStringUnsafe("7.70"),
          discount: BigDecimal.fromStringUnsafe("0.05")
        }]
      }),
      Order.ShipOrder({ orderId: "10250", shipper: "United Package", shippedOn: "1996-07-12" })
    ])
  })

  it("is only placed while it has no shipping date", () => {
    const { shippedAt: _, ...open } = document
    for (const json of [open, { ...open, shippedAt: null }]) {
      const commands = toCommands(Result.getOrThrow(decode(JSON.stringify(json))))
      assert.deepStrictEqual(commands.map((command) => command._tag), ["PlaceOrder"])
    }
  })

  it("may lack a region and a postal code, and hold members of no interest", () => {
    const { postalCode: _p, region: _r, ...shipTo } = document.shipTo
    assert.strictEqual(reason({ ...document, shipTo }), "accepted")
    assert.strictEqual(reason({ ...document, shipTo: { ...shipTo, region: null }, note: "?" }), "accepted")
  })

  it("says where the first fault lies", () => {
    assert.strictEqual(reason(withoutCustomer), "customerId: missing")
    assert.strictEqual(reason({ ...document, customerId: 5 }), "customerId: expected string")
    assert.strictEqual(reason({ ...document, customerId: " " }), "customerId: expected a text that is not blank")
    assert.strictEqual(reason({ ...document, customerName: "a\u0000b" }), "customerName: expected no control character")
    assert.strictEqual(reason({ ...document, orderedAt: "1997-02-29" }), "orderedAt: expected a day that exists")
    assert.strictEqual(
      reason({ ...document, orderedAt: "8 July 1996" }),
      "orderedAt: expected a date such as \"1996-07-04\""
    )
    assert.strictEqual(reason({ ...document, shippedAt: "1996-13-01" }), "shippedAt: expected a day that exists")
    assert.strictEqual(
      reason({ ...document, lines: [line, { ...line, quantity: "2" }] }),
      "lines[1].quantity: expected number"
    )
    assert.strictEqual(
      reason({ ...document, lines: [{ ...line, quantity: 1.5 }] }),
      "lines[0].quantity: expected an integer"
    )
    assert.strictEqual(
      reason({ ...document, lines: [{ ...line, unitPrice: 7.7 }] }),
      "lines[0].unitPrice: expected a decimal number in quotes, such as \"14.00\""
    )
    assert.strictEqual(
      reason({ ...document, freight: "1e400000" }),
      "freight: expected a decimal number in quotes, such as \"14.00\""
    )
    assert.strictEqual(reason({ ...document, lines: null }), "lines: expected array")
    assert.strictEqual(reason([]), "expected object")
  })

  it("says what is wrong with text that is not JSON, in printable characters", () => {
    for (const text of ["{\"orderId\": \"1\"", "orders", "\u001b[31m", "{\"a\":\u0007}"]) {
      const decoded = decode(text)
      assert.isTrue(Result.isFailure(decoded))
      if (Result.isFailure(decoded)) {
        assert.match(decoded.failure, /^not JSON: /)
        assert.notMatch(decoded.failure, /\p{Cc}|\(line/u)
      }
    }
  })
})
