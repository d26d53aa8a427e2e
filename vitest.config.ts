import { defineConfig } from 'vitest/config';

const unit = ['{apps,libs}/*/{src,test}/**/*.test.ts', 'scripts/**/*.test.ts'];
const slow = ['**/*.{nix,pg,e2e,lab,browser}.test.ts', '**/node_modules/**'];

export default defineConfig({
  test: {
    projects: [
      { test: { name: 'unit', include: unit, exclude: slow } },
      { test: { name: 'nix', include: ['{apps,libs}/**/*.nix.test.ts'], testTimeout: 120_000, hookTimeout: 120_000 } },
      { test: { name: 'pg', include: ['{apps,libs}/**/*.pg.test.ts'], testTimeout: 60_000, hookTimeout: 60_000 } },
      { test: { name: 'e2e', include: ['tests/**/*.e2e.test.ts'], testTimeout: 180_000, hookTimeout: 180_000 } },
      { test: { name: 'browser', include: ['tests/**/*.browser.test.ts'], testTimeout: 120_000, hookTimeout: 120_000 } },
    ],
  },
});
