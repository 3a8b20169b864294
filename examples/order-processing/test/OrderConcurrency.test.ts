/**
 * Orders on a real PostgreSQL: whatever commands race for one, they come to what they would one after the other.
 */
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as Laws from "@composable-ts/testing/Laws"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import { it } from "@effect/vitest"
import { order } from "../src/domain/Order.ts"
import { arbitraries } from "./OrderArbitraries.ts"

const over = TestDatabase.layerMigrated("log", PostgresEventStore.layer())
const runs = Number(process.env["CONCURRENCY_RUNS"] ?? 25)

it.live("commands that race for an order", () => Laws.serialEqualsConcurrent(order, { arbitraries, over, runs }))
