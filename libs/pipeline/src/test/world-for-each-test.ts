import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import { startMigratedPostgres } from './migrated-postgres.ts';
import { openWorldStore, World } from './world.ts';

/** A server for the tests of a file. Returns what makes the address of a new database with all tables. */
export function databasesForTests(): () => Promise<string> {
  let migrated: Awaited<ReturnType<typeof startMigratedPostgres>>;
  beforeAll(async () => {
    migrated = await startMigratedPostgres();
  });
  afterAll(async () => await migrated.server[Symbol.asyncDispose]());
  return async () => await migrated.server.createDatabase(migrated.template);
}

/** A world and a folder of its own for each test of a file, which `given` takes. Returns what opens one more; who opens it ends it. */
export function worldForEachTest(given: (world: World, dir: string) => void): () => Promise<World> {
  const createDatabase = databasesForTests();
  const open = async (): Promise<World> => new World(await openWorldStore(await createDatabase()));
  let dir = '';
  let world: World;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'floe-world-'));
    world = await open();
    given(world, dir);
  });
  afterEach(async () => {
    await world.stop();
    await rm(dir, { recursive: true, force: true });
  });
  return open;
}
