/**
 * How many pieces of each product were ordered, and how many have left the house. Two partitions of the orders are worked
 * on at the same time, in one process or in two, and both count in the rows of the same products.
 */
import * as Projection from "@composable-ts/projections/Projection"
import { Array, Effect, Number, Order as Ordering } from "effect"
import * as SqlClient from "effect/sql/SqlClient"
import { Order } from "../domain/Order.ts"
import type { OrderLine } from "../domain/OrderLine.ts"

const sameProduct = (one: Pick<OrderLine, "productId">, other: Pick<OrderLine, "productId">) =>
  one.productId === other.productId

/** Pieces by product. In the order of their ids, so that the partitions do not wait for each other in a circle. */
const piecesOf = (lines: Array.NonEmptyReadonlyArray<Pick<OrderLine, "productId" | "quantity">>) =>
  Array.map(
    Array.groupWith(Array.sortWith(lines, ({ productId }) => productId, Ordering.String), sameProduct),
    (group) => [group[0].productId, Number.sumAll(group.map(({ quantity }) => quantity))] as const
  )

/** Counts pieces in each product's row. */
export const productSales = Projection.define(Order, {
  name: "product-sales",
  version: 1,
  partitions: 2,
  setUp: Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    yield* sql`CREATE SCHEMA IF NOT EXISTS order_processing`
    yield* sql`
      CREATE TABLE order_processing.product_sales (
        product_id text PRIMARY KEY,
        ordered    bigint NOT NULL,
        shipped    bigint NOT NULL
      )`
    yield* sql`
      CREATE TABLE order_processing.order_pieces (
        order_id   text NOT NULL,
        product_id text NOT NULL,
        pieces     bigint NOT NULL,
        PRIMARY KEY (order_id, product_id)
      )`
  }),
  on: {
    OrderPlaced: ({ lines, orderId }) =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const pieces = piecesOf(lines)
        yield* sql`INSERT INTO order_processing.order_pieces ${
          sql.insert(Array.map(pieces, ([product_id, pieces]) => ({ order_id: orderId, product_id, pieces })))
        }`
        yield* sql`INSERT INTO order_processing.product_sales AS s ${
          sql.insert(Array.map(pieces, ([product_id, ordered]) => ({ product_id, ordered, shipped: 0 })))
        } ON CONFLICT (product_id) DO UPDATE SET ordered = s.ordered + EXCLUDED.ordered`
      }),
    OrderShipped: ({ orderId }) =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const pieces = yield* sql<{ readonly product_id: string; readonly pieces: bigint }>`
          SELECT product_id, pieces FROM order_processing.order_pieces WHERE order_id = ${orderId} ORDER BY product_id`
        for (const { pieces: shipped, product_id } of pieces) {
          yield* sql`UPDATE order_processing.product_sales SET shipped = shipped + ${shipped}
            WHERE product_id = ${product_id}`
        }
      })
  }
})
