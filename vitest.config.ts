import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    reporters: ['default', './test/helpers/ending.ts'],
    // Tests start real tools; more of them at once than there are cores only makes each slower.
    maxWorkers: 2,
    projects: [
      {
        test: {
          name: 'project',
          include: ['test/**/*.test.ts'],
          exclude: ['test/real/**'],
          testTimeout: 60_000,
          hookTimeout: 120_000,
          sequence: { groupOrder: 0 },
        },
      },
      // Of real release sets, in QEMU: last, so that nothing waits for them. A guest without hardware virtualisation keeps one core
      // busy, and no more: two run at a time.
      {
        test: {
          name: 'real',
          include: ['test/real/**/*.test.ts'],
          testTimeout: 80 * 60_000,
          hookTimeout: 15 * 60_000,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
