import { globSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { LONG } from '../../tests/longest-first.ts';

test('each file that is started first is there', () => {
  const files = globSync('{apps,libs,nix,scripts,tests}/**/*.test.ts', { cwd: join(import.meta.dirname, '../..'), exclude: ['**/node_modules/**'] });
  expect(LONG.filter((name) => !files.some((file) => file.replace(/\.\w+\.test\.ts$/, '').endsWith(`/${name}`)))).toEqual([]);
});
