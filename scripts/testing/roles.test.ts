import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');
/** What only a builder holds, as the code calls it: the release key, the key of the cache, what the repository and its inputs are fetched with. */
const HELD = /\breleaseSigner\b|\bcacheKey\b|\bsecretKeyFile\b|\bloadOrCreateCacheKey\b|\bsealTrial\b|\breleaserOf\b|\brepository\.token\b/;
test('nothing of the server but its builder reaches what a builder holds', () => {
  const files = execFileSync('git', ['-C', ROOT, 'ls-files', '--cached', '--others', '--exclude-standard', 'apps/server/src'], { encoding: 'utf8' })
    .split('\n')
    .filter((path) => path.endsWith('.ts') && !path.endsWith('.test.ts') && !path.includes('/test/'));
  expect(files.length).toBeGreaterThan(50);
  expect(files.filter((path) => HELD.test(readFileSync(join(ROOT, path), 'utf8')))).toEqual([]);
  // It has a builder from one place, which gives it no key.
  expect(files.filter((path) => /\bopenBuilder\b/.test(readFileSync(join(ROOT, path), 'utf8')))).toEqual(['apps/server/src/context.ts']);
  expect(HELD.test(readFileSync(join(ROOT, 'libs/pipeline/src/builder/serve-pipeline.ts'), 'utf8'))).toBe(true);
});
