import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { silentLogger, systemClock } from '@floe/runtime';
import { startPostgres } from '@floe/testkit';
import postgres from 'postgres';
import { expect, test } from 'vitest';
import { openStore } from './open.ts';
import type { Store } from './store.ts';

const ROOT = join(import.meta.dirname, '../../..');
/** Tests run as the superuser; here the server's role is one that may no more than on a real server. */
const SERVER = 'server';

const open = async (url: string): Promise<Store> =>
  await openStore(
    { kind: 'postgres', url, maxConnections: 2 },
    { clock: systemClock, logger: silentLogger, migrationsDir: join(ROOT, 'migrations') },
  );

async function exercise(url: string, listener: string): Promise<void> {
  await using store = await open(url);
  await store.server.tidy();
  const { id } = await store.repositories.ensure({ url: 'https://git.example.org/fleet.git', branch: 'main', now: 1 });
  await store.repositories.unclaim(id, SERVER);
  await store.repositories.unclaim(id, 'floe-builder');
  expect(await store.repositories.claim(id, listener, 1)).toBeGreaterThan(0);
  await using _heard = await store.hints.listen(() => undefined);
}

test('server and builder work on one database by logins of their own, whoever of them makes the tables', async () => {
  await using cluster = await startPostgres();
  const client = (username: string, database: string): postgres.Sql =>
    postgres({ host: cluster.socketFolder, username, database, max: 1, onnotice: () => undefined });
  const admin = client('floe', 'floe');
  try {
    await admin.unsafe(`create role ${SERVER} login`);
    const text = await readFile(join(ROOT, 'nix/modules/builder/login.sql'), 'utf8');
    const login = text.replace('GRANT floe', `GRANT ${SERVER}`).replace("'floe'", `'${SERVER}'`);
    // At each start of the machine.
    for (let round = 0; round < 2; round += 1) await admin.unsafe(login);
    for (const first of [SERVER, 'floe-builder']) {
      const name = `by_${first.replace('-', '_')}`;
      await admin.unsafe(`create database ${name} owner ${SERVER}`);
      const urlFor = (role: string): string => `postgres://${role}@localhost/${name}?host=${encodeURIComponent(cluster.socketFolder)}`;
      const second = first === SERVER ? 'floe-builder' : SERVER;
      for (const role of [first, second, first]) await exercise(urlFor(role), role);
      const own = client('floe-builder', name);
      const owners = await own`select distinct tableowner from pg_tables where schemaname not in ('pg_catalog', 'information_schema')`;
      await own.end();
      expect(owners.map(({ tableowner }) => tableowner as string)).toEqual([SERVER]);
    }
  } finally {
    await admin.end();
  }
});
