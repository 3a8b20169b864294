import * as Projection from "@composable-ts/projections/Projection"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as SqlClient from "effect/sql/SqlClient"
import { shopper } from "../src/chaos/Shoppers.ts"
import { services } from "../src/Database.ts"
import { audit } from "../src/readModel/Audit.ts"
import { readModels } from "../src/readModel/ReadModels.ts"

/** Runs on orders that some shoppers have placed, shipped and cancelled, and on read models that have caught up. */
const afterShopping = <A, E>(
  check: Effect.Effect<A, E, Effect.Services<typeof audit>>
) =>
  Effect.gen(function*() {
    const url = yield* TestDatabase.make
    return yield* Effect.provide(
      Effect.gen(function*() {
        let commands = 0
        yield* Effect.raceFirst(
          Effect.forEach([1, 2, 3, 4], (nr) => shopper(nr, 1, (sent) => commands += sent), {
            concurrency: "unbounded",
            discard: true
          }),
          Effect.suspend(() => Effect.yieldNow).pipe(Effect.repeat({ until: () => commands >= 400 }))
        )
        yield* Effect.forEach(readModels, (readModel) => Projection.catchUp(readModel), { discard: true })
        return yield* check
      }),
      services(url)
    )
  })

describe("the audit", () => {
  it.live("finds nothing where the read models are a fold of the log", () =>
    Effect.scoped(afterShopping(Effect.gen(function*() {
      const { differences, events, rows } = yield* audit
      assert.deepStrictEqual(differences, [])
      assert.isAbove(events, 200)
      assert.isAbove(rows, 100)
    }))))

  const spoilt: Readonly<Record<string, readonly [statement: string, found: RegExp]>> = {
    "an event applied twice": [
      "UPDATE order_processing.product_sales SET ordered = ordered + 1 WHERE product_id = 'product 3'",
      /^product_sales product 3: \d+ \| \d+, but the log says \d+ \| \d+$/
    ],
    "an event missed": [
      "DELETE FROM order_processing.order_summaries WHERE order_id = '1-0'",
      /^order_summaries 1-0: missing, but the log says customer/
    ],
    "a row of nobody": [
      "INSERT INTO order_processing.customer_totals VALUES ('nobody', 1, 0, 10)",
      /^customer_totals nobody: 1 \| 0 \| 10, but the log says nothing$/
    ],
    "a cent": [
      `UPDATE order_processing.customer_totals SET revenue = revenue + 0.0001
        WHERE customer_id = (SELECT min(customer_id) FROM order_processing.customer_totals)`,
      /^customer_totals customer 0: /
    ]
  }
  it.live("finds each row that is not", () =>
    Effect.scoped(afterShopping(Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      for (const [name, [statement, found]] of Object.entries(spoilt)) {
        const differences = yield* Effect.flip(sql.withTransaction(Effect.gen(function*() {
          yield* sql.unsafe(statement)
          return yield* Effect.fail((yield* audit).differences)
        })))
        assert.isArray(differences, name)
        assert.strictEqual((differences as ReadonlyArray<string>).length, 1, name)
        assert.match((differences as ReadonlyArray<string>)[0]!, found, name)
      }
    }))))
})
