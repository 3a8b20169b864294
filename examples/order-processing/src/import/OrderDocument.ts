/**
 * The documents that are imported: one order as JSON on each line of the file.
 */
import { Result, Schema, SchemaIssue } from "effect"
import { CalendarDate } from "../domain/CalendarDate.ts"
import { Money } from "../domain/Money.ts"
import { Order, type OrderCommand, OrderId } from "../domain/Order.ts"
import { OrderLine } from "../domain/OrderLine.ts"
import { Text } from "../domain/Text.ts"

/** An order as the file has it. Members that are not named here are ignored. */
export const OrderDocument = Schema.Struct({
  orderId: OrderId,
  customerId: Text,
  customerName: Text,
  orderedAt: CalendarDate,
  requiredAt: CalendarDate,
  shippedAt: Schema.optionalKey(Schema.NullOr(CalendarDate)),
  shipper: Text,
  freight: Money,
  shipTo: Schema.Struct({
    name: Text,
    street: Text,
    city: Text,
    region: Schema.optionalKey(Schema.NullOr(Text)),
    postalCode: Schema.optionalKey(Schema.NullOr(Text)),
    country: Text
  }),
  lines: Schema.Array(OrderLine)
})

/** An order as the file has it. */
export type OrderDocument = typeof OrderDocument.Type

const decodeDocument = Schema.decodeUnknownResult(OrderDocument)

const issuesOf = SchemaIssue.makeFormatterStandardSchemaV1({
  leafHook: (issue) => issue._tag === "MissingKey" ? "missing" : SchemaIssue.defaultLeafHook(issue)
})

/** The document in a line of the file, or what is wrong with it. */
export const decode = (text: string): Result.Result<OrderDocument, string> =>
  Result.flatMap(
    Result.try({ try: (): unknown => JSON.parse(text), catch: (error) => `not JSON: ${syntaxIssue(error)}` }),
    (json) => Result.mapError(decodeDocument(json), ({ issue }) => firstIssue(issue))
  )

/** The parser's own line and column would be taken for those of the file, and it quotes what may not be printable. */
const syntaxIssue = (error: unknown): string =>
  String(error instanceof Error ? error.message : error).replace(/ \(line \d+ column \d+\)$/, "").replaceAll(
    /\p{Cc}/gu,
    "?"
  )

/** As in `lines[0].quantity: expected an integer`. */
const firstIssue = (issue: SchemaIssue.Issue): string => {
  const [first] = issuesOf(issue).issues
  const message = first?.message ?? "Expected an order"
  const sentence = message.charAt(0).toLowerCase() + message.slice(1)
  const place = (first?.path ?? []).map((step) => typeof step === "object" ? step.key : step).map((key, depth) =>
    typeof key === "number" ? `[${key}]` : `${depth === 0 ? "" : "."}${String(key)}`
  )
  return place.length === 0 ? sentence : `${place.join("")}: ${sentence}`
}

/** The commands that bring the order about: always one that places it, and one that ships it when it was shipped. */
export const toCommands = (document: OrderDocument): ReadonlyArray<OrderCommand> => {
  const { customerId, customerName, freight, lines, orderId, orderedAt, requiredAt, shipTo, shipper } = document
  const place = Order.PlaceOrder({
    orderId,
    customer: { id: customerId, name: customerName },
    orderedOn: orderedAt,
    requiredOn: requiredAt,
    shipper,
    freight,
    shipTo: { ...shipTo, region: shipTo.region ?? null, postalCode: shipTo.postalCode ?? null },
    lines
  })
  const shippedOn = document.shippedAt ?? undefined
  return shippedOn === undefined ? [place] : [place, Order.ShipOrder({ orderId, shipper, shippedOn })]
}
