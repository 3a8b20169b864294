/**
 * What the mutation run repeats for each mutant: the tests of core's reducers and of the order's rules. They need
 * neither PostgreSQL nor its global setup.
 *
 * The run works on a copy of the repository whose `node_modules` lead back to the original, so the packages' names are
 * pointed at the copy here: otherwise a test would import the code without the mutant.
 */
import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"

const packages = fileURLToPath(new URL("../../packages", import.meta.url))

export default defineConfig({
  resolve: {
    alias: [
      { find: /^@composable-ts\/([a-z]+)$/, replacement: `${packages}/$1/src/index.ts` },
      { find: /^@composable-ts\/([a-z]+)\/(.+)$/, replacement: `${packages}/$1/src/$2.ts` }
    ]
  },
  test: {
    include: [
      "packages/core/test/{Action,Aggregate,AggregateStore,Compose,Event,Fx,Instrument,Merging,OtherStreams,Reactions}.test.ts",
      "packages/core/test/{Reducer,Scope,Source,Store,StoreSend,Task,record}.test.ts",
      "examples/order-processing/test/{CalendarDate,Decimal,Order,OrderDocument,OrderLaws,OrderLine,OrderRefusal,Text}.test.ts"
    ]
  }
})
