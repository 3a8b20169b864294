import * as EventBusContract from "@composable-ts/testing/EventBusContract"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import { Layer } from "effect"
import * as PostgresEventBus from "../src/PostgresEventBus.ts"

const bus = PostgresEventBus.layer().pipe(Layer.provideMerge(TestDatabase.layer))

EventBusContract.suite("PostgresEventBus", bus, { eachCase: 20_000 })
