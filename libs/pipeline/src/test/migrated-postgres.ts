import { join } from 'node:path';
import { silentLogger, systemClock, type Logger } from '@floe/runtime';
import { openStore, type Store } from '@floe/store';
import { startPostgres, type PostgresServer } from '@floe/testkit';

const MIGRATIONS_DIR = join(import.meta.dirname, '../../../../migrations');

export async function openOnPostgres(url: string, logger: Logger = silentLogger): Promise<Store> {
  return await openStore({ kind: 'postgres', url, maxConnections: 1 }, { clock: systemClock, logger, migrationsDir: MIGRATIONS_DIR });
}

/** A server of its own; `template`: an empty database with all tables, to make copies of. */
export async function startMigratedPostgres(): Promise<{ readonly server: PostgresServer; readonly template: string }> {
  const server = await startPostgres();
  const template = await server.createDatabase();
  await using _migrated = await openOnPostgres(template);
  return { server, template };
}
