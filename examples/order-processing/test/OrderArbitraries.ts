/**
 * Commands and events of orders of which many are accepted: few days, small amounts, and now and then a fault.
 */
import { Arbitrary, BigDecimal, Schema } from "effect"
import { Order } from "../src/domain/Order.ts"

const between = (minimum: number, maximum: number) =>
  Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum, maximum })))

const texts = Arbitrary.map(between(1, 99), (n) => `text ${n}`)
const hundredths = (from: number, to: number) => Arbitrary.map(between(from, to), (n) => BigDecimal.make(BigInt(n), 2))
/** Few days, so that one is often before, on or after another. */
const days = Arbitrary.map(between(1, 5), (day) => `1996-07-0${day}`)

type Decimals = Arbitrary.Arbitrary<BigDecimal.BigDecimal>

const lines = (unitPrice: Decimals, discount: Decimals, quantity: Arbitrary.Arbitrary<number>) =>
  Arbitrary.all({
    productId: texts,
    productName: texts,
    category: texts,
    unitPrice,
    quantity,
    discount
  })

const details = {
  orderId: texts,
  customer: Arbitrary.all({ id: texts, name: texts }),
  orderedOn: days,
  requiredOn: days,
  shipper: texts,
  freight: hundredths(0, 10_000),
  shipTo: Arbitrary.all({
    name: texts,
    street: texts,
    city: texts,
    region: Arbitrary.schema(Schema.Null),
    postalCode: texts,
    country: texts
  })
}
const shipments = Arbitrary.all({ orderId: details.orderId, shipper: Arbitrary.schema(Schema.String), shippedOn: days })

const good = lines(hundredths(1, 1000), hundredths(0, 100), between(1, 20))
/** Now and then a price or a quantity of nothing, or a discount that is none. */
const asked = lines(hundredths(0, 1000), hundredths(-2, 102), between(0, 20))

/** By the names of the commands and events, for `ModelTest` and `Laws`. */
export const arbitraries = {
  PlaceOrder: Arbitrary.map(
    Arbitrary.all({ ...details, lines: Arbitrary.array(asked, { maxLength: 3 }) }),
    Order.PlaceOrder
  ),
  ShipOrder: Arbitrary.map(shipments, Order.ShipOrder),
  OrderPlaced: Arbitrary.map(
    Arbitrary.all({
      ...details,
      lines: Arbitrary.map(
        Arbitrary.all([
          good,
          Arbitrary.array(good)
        ]),
        ([first, rest]) => [first, ...rest] as const
      )
    }),
    Order.OrderPlaced
  ),
  OrderShipped: Arbitrary.map(shipments, Order.OrderShipped)
}
