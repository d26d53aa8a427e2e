import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger, systemClock, type AsyncSigner } from '@floe/runtime';
import { openStore } from '@floe/store';
import { eventually } from '@floe/testkit';
import { expect, test } from 'vitest';
import { rebuildFromStatements } from './statements/rebuild.ts';
import { openStatementLog } from './statements/statement-log.ts';
import { openWorldStore, signer, World } from './test/world.ts';
import { databasesForTests } from './test/world-for-each-test.ts';

const MIGRATIONS_DIR = join(import.meta.dirname, '../../../migrations');
const createDatabase = databasesForTests();

/** Where the first builder is held up: in its signature, or after it, on its way to the file. */
test.each(['signature', 'file'] as const)('a builder that is held up at a %s until another one took over hands out nothing', async (where) => {
  const dir = await mkdtemp(join(tmpdir(), 'floe-two-'));
  const url = await createDatabase();
  const reached = Promise.withResolvers<undefined>();
  const held = Promise.withResolvers<undefined>();
  const hold = async (): Promise<void> => {
    reached.resolve(undefined);
    await held.promise;
  };
  const slow: AsyncSigner = {
    ...signer,
    async sign(bytes) {
      if (Buffer.from(bytes).includes('floe/release')) await hold();
      return signer.sign(bytes);
    },
  };
  const hosts = { ada: { evaluates: 1 }, bob: { evaluates: 2 } };
  await using first = new World(await openWorldStore(url));
  await using second = new World(await openWorldStore(url));
  for (const [world, owner] of [
    [first, 'first'],
    [second, 'second'],
  ] as const) {
    world.owner = owner;
    world.commits.push(hosts);
  }
  if (where === 'signature') first.releaseSigner = slow;
  else
    first.wrapLog = (log) => ({
      ...log,
      async writeRelease(...release) {
        await hold();
        await log.writeRelease(...release);
      },
    });
  await first.start(join(dir, 'first'));
  await reached.promise;

  // The other one does not see bob's build through, and ends with a newer commit.
  await first.store.repositories.unclaim(first.repository.id, 'first');
  await second.start(join(dir, 'second'));
  await second.ended('1'.padStart(40, '0') as never, 'PUBLISHED');
  second.commits.push({ ada: { evaluates: 3 }, bob: { evaluates: 2 } });
  await second.store.repositories.wake(second.repository.id);
  await second.ended('2'.padStart(40, '0') as never, 'PUBLISHED');
  await second.shutDown();
  const before = { released: await second.released(), revisions: await second.store.revisions.newest(second.repository.id) };

  held.resolve(undefined);
  await eventually('it is told', () => (first.warnings.some((each) => each.startsWith('the lease was lost')) ? true : undefined));
  await first.shutDown();
  const log = openStatementLog(join(dir, 'first/statements'), silentLogger);
  const late = await log.listReleases();
  // Two builds of two hosts, held up at once.
  if (where === 'signature') expect(late).toEqual([]);
  else expect(late.length).toBeGreaterThan(0);
  // Nor does its next start bring them in.
  await rebuildFromStatements(
    { store: first.store, clock: systemClock, statements: log, releaseKeys: [signer], serverKeys: [], logger: silentLogger },
    first.repository,
  );
  expect({ released: await second.released(), revisions: await second.store.revisions.newest(second.repository.id) }).toEqual(before);
  await rm(dir, { recursive: true, force: true });
});

test('a builder ends when a newer version migrates the database during a build, and the commit does not fail', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'floe-older-'));
  const url = await createDatabase();
  const built = Promise.withResolvers<undefined>();
  const building = Promise.withResolvers<undefined>();
  await using older = new World(await openWorldStore(url));
  older.commits.push({ ada: { evaluates: 1 } });
  older.buildsAfter.set('ada', built.promise);
  older.onBuild = () => building.resolve(undefined);
  await older.start(join(dir, 'older'));
  const ended = older.ends();
  await building.promise;

  const migrationsDir = join(dir, 'migrations');
  await cp(MIGRATIONS_DIR, migrationsDir, { recursive: true });
  const path = join(migrationsDir, 'meta/_journal.json');
  const journal = JSON.parse(await readFile(path, 'utf8')) as { entries: object[] };
  journal.entries.push({ idx: journal.entries.length, version: '7', when: Date.UTC(2099, 0), tag: '9999_newer', breakpoints: true });
  await writeFile(path, JSON.stringify(journal));
  // What the older one reads and writes is not there any more.
  await writeFile(join(migrationsDir, '9999_newer.sql'), 'alter table evaluations rename column toplevel to system_path;');
  await using newer = await openStore({ kind: 'postgres', url, maxConnections: 2 }, { clock: systemClock, logger: silentLogger, migrationsDir });
  built.resolve(undefined);
  await expect(ended).rejects.toMatchObject({ code: 'STORE_TOO_NEW' });
  expect(await newer.revisions.newest(older.repository.id)).toMatchObject({ state: 'BUILDING' });
  expect((await newer.revisions.newest(older.repository.id))?.error).toBeUndefined();
  await rm(dir, { recursive: true, force: true });
});

test('only the builder that holds the lease tidies the cache, and no more once it has lost it', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'floe-tidy-'));
  const url = await createDatabase();
  await using first = new World(await openWorldStore(url));
  await using second = new World(await openWorldStore(url));
  const tidies: string[] = [];
  const mayTidy = new Map<World, () => Promise<void>>();
  for (const [world, owner] of [
    [first, 'first'],
    [second, 'second'],
  ] as const) {
    world.owner = owner;
    world.commits.push({ ada: { evaluates: 1 } });
    world.keepCache = async (confirm, signal) => {
      tidies.push(owner);
      mayTidy.set(world, confirm);
      await systemClock.sleep(3600_000, signal);
      tidies.push(`${owner} ends`);
    };
  }
  await first.start(join(dir, 'first'));
  await eventually('it tidies', () => (tidies.length > 0 ? true : undefined));
  await mayTidy.get(first)?.();
  await second.start(join(dir, 'second'));
  await first.push({ ada: { evaluates: 2 } });
  await first.ended('2'.padStart(40, '0') as never, 'PUBLISHED');
  expect(tidies).toEqual(['first']);
  // Somebody else claims it, as after half a minute without an answer.
  await first.store.repositories.unclaim(first.repository.id, 'first');
  expect(await second.store.repositories.claim(second.repository.id, 'third', 30_000)).toBeGreaterThan(0);
  await expect(mayTidy.get(first)?.()).rejects.toMatchObject({ code: 'LEASE_LOST' });
  await eventually('it ends', () => (tidies.includes('first ends') ? true : undefined));
  await rm(dir, { recursive: true, force: true });
});
