import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: [
      "packages/*/test/**/*.test.ts",
      "examples/*/test/**/*.test.ts",
      "test/**/*.test.ts",
      "bench/test/**/*.test.ts"
    ],
    reporters: ["default", "./test/ClosingLine.ts"]
  }
})
