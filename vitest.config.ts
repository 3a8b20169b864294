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
    reporters: ["default", "./test/ClosingLine.ts"]
  }
})
