import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exec, generateKeyPem, signerFromPem } from '@floe/runtime';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { loadBuilderKeys } from './builder-keys.ts';

const BY_FILE = { command: undefined, exec, env: {} };
let dir: string;
beforeEach(async () => (dir = await mkdtemp(join(tmpdir(), 'floe-keys-'))));
afterEach(async () => await rm(dir, { recursive: true, force: true }));

test('keys are those of the data folder, made once, unless others are named', async () => {
  const made = await loadBuilderKeys(dir, {}, BY_FILE);
  expect(await loadBuilderKeys(dir, {}, BY_FILE)).toMatchObject({
    releaseSigner: { publicKey: made.releaseSigner.publicKey },
    cacheKey: made.cacheKey,
  });
  const pem = generateKeyPem();
  const release = join(dir, 'given.pem');
  await writeFile(release, pem);
  const given = await loadBuilderKeys(join(dir, 'other'), { release, cache: join(dir, 'keys/cache.secret') }, BY_FILE);
  expect(given.releaseSigner.publicKey).toBe(signerFromPem('x', pem).publicKey);
  expect(given.cacheKey.publicKey).toBe(made.cacheKey.publicKey);
  expect(await readdir(dir)).not.toContain('other');
});

test('a key that is named and is not there is never made', async () => {
  const missing = join(dir, 'missing');
  await expect(loadBuilderKeys(dir, { release: missing }, BY_FILE)).rejects.toThrow(/missing cannot be read \(ENOENT\)/);
  await expect(loadBuilderKeys(dir, { cache: missing }, BY_FILE)).rejects.toThrow(/missing cannot be read \(ENOENT\)/);
  expect(await readdir(dir)).not.toContain('missing');
});
