/**
 * The server that vitest's global set-up started, as the benchmark's.
 */
import { serverVariable } from "@composable-ts/testing/TestDatabase"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Layer from "effect/Layer"
import { Server } from "../src/Server.ts"

export const layer = Server.layer.pipe(
  Layer.provide(ConfigProvider.layer(ConfigProvider.fromUnknown({ DATABASE_URL: process.env[serverVariable] ?? "" })))
)
