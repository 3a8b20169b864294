/**
 * All read models of the orders.
 */
import { customerTotals } from "./CustomerTotals.ts"
import { orderSummary } from "./OrderSummary.ts"
import { productSales } from "./ProductSales.ts"

/** What a worker runs. */
export const readModels = [orderSummary, customerTotals, productSales] as const
