import { availableParallelism } from "node:os"
import { join } from "node:path"
import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: [
      "packages/*/test/**/*.test.ts",
      "examples/*/test/**/*.test.ts",
      "test/**/*.test.ts",
      "bench/test/**/*.test.ts"
    ],
    // One less than there are cores is the default, which on two is one file at a time. Tests wait more than they compute;
    // with more than four files at a time the server of the run would have too few connections.
    maxWorkers: Math.min(4, Math.max(2, availableParallelism())),
    // Hundreds of processes are started from source; with this they do not all compile it anew.
    env: { NODE_COMPILE_CACHE: join(import.meta.dirname, "node_modules/.cache/compile") },
    globalSetup: "packages/testing/src/GlobalSetup.ts",
    // Many tests start processes or use a real server; on a busy machine of two cores the default of 5 s is too short.
    testTimeout: 30_000,
    hookTimeout: 60_000,
    reporters: ["default", "./test/ClosingLine.ts"]
  }
})
