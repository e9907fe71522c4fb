import { defineConfig } from "vitest/config";

// Forks, not threads: the native addon and the process tests want a process of their own.
export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "gpu-worker/src/**/*.test.ts", "bench/**/*.test.ts", "test/**/*.test.ts"],
    exclude: ["**/node_modules/**", "**/dist/**"],
    setupFiles: ["test/support/fixed-seed.ts"],
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});
