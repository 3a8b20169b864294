/**
 * The argument that names an order.
 */
import { Schema } from "effect"
import { Argument } from "effect/cli"
import { OrderId } from "../domain/Order.ts"

const isOrderId = Schema.is(OrderId)

/** `ORDER`. */
export const orderArgument = Argument.String("order").pipe(
  Argument.withDescription("The order's number"),
  Argument.filter(isOrderId, () => "Expected an order's number, of 1 to 64 printable characters")
)
