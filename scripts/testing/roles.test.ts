import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');
/** Where the builder is put together; the rest of the server has a `Builder` and its `Releaser`. */
const BUILDERS = new Set(['apps/server/src/embedded-builder.ts', 'apps/server/src/serve-pipeline.ts']);
/** What only a builder holds, as the code calls it: the release key, the key of the cache, what the repository and its inputs are fetched with. */
const HELD = /\breleaseSigner\b|\bcacheKey\b|\bsecretKeyFile\b|\bloadOrCreateCacheKey\b|\bsealTrial\b|\breleaserOf\b|\brepository\.token\b/;
/** They name the files: where they are, that the sandbox hides them, and that they must be there. */
const NAMED = new Set(['apps/server/src/config.ts', 'apps/server/src/repository-sandbox.ts']);

test('nothing of the server but its builder reaches what a builder holds', () => {
  const files = execFileSync('git', ['-C', ROOT, 'ls-files', '--cached', '--others', '--exclude-standard', 'apps/server/src'], { encoding: 'utf8' })
    .split('\n')
    .filter((path) => path.endsWith('.ts') && !path.endsWith('.test.ts') && !path.includes('/test/'));
  expect(files.length).toBeGreaterThan(50);
  for (const path of BUILDERS) expect(files).toContain(path);
  const reaching = files.filter((path) => !BUILDERS.has(path) && !NAMED.has(path) && HELD.test(readFileSync(join(ROOT, path), 'utf8')));
  expect(reaching).toEqual([]);
});
