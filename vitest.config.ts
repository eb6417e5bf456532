import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // Tests start real tools; more of them at once than there are cores only makes each slower.
    maxWorkers: 2,
  },
});
