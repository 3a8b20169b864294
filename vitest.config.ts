import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: [
      "packages/*/test/**/*.test.ts",
      "examples/*/test/**/*.test.ts",
      "test/**/*.test.ts",
      "bench/test/**/*.test.ts"
    ],
    globalSetup: "packages/testing/src/GlobalSetup.ts",
    // Many tests start processes or use a real server; on a busy machine of two cores the default of 5 s is too short.
    testTimeout: 30_000,
    hookTimeout: 60_000,
    reporters: ["default", "./test/ClosingLine.ts"]
  }
})
