import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openStore } from './open.ts';
import { newRepository, storeDeps } from './test/test-store.ts';

let dir: string;
let dataDir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-embedded-'));
  dataDir = join(dir, 'var', 'database');
});
afterEach(async () => await rm(dir, { recursive: true, force: true }));

test('an embedded database is kept in its folder, and opened by one at a time', async () => {
  const first = await openStore({ kind: 'pglite', dataDir }, storeDeps());
  const repository = await newRepository(first);
  await expect(openStore({ kind: 'pglite', dataDir }, storeDeps())).rejects.toMatchObject({
    code: 'STORE_IN_USE',
    retryable: false,
    data: { folder: dataDir },
  });
  expect(await first.repositories.get(repository.id)).toEqual(repository); // the second did it no harm
  await first[Symbol.asyncDispose]();
  await first[Symbol.asyncDispose]();
  await expect(first.ping()).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' });

  await using second = await openStore({ kind: 'pglite', dataDir }, storeDeps());
  expect(await second.repositories.get(repository.id)).toEqual(repository);
});

test('a database whose migration fails leaves no lock behind', async () => {
  const deps = { ...storeDeps(), migrationsDir: join(dir, 'nowhere') };
  await expect(openStore({ kind: 'pglite', dataDir }, deps)).rejects.toThrow('_journal.json');
  await using opened = await openStore({ kind: 'pglite', dataDir }, storeDeps());
  await opened.ping();
});
