import { createHash } from 'node:crypto';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { prepareEmbedded } from '../libs/store/src/test/prepared-embedded.ts';
import { keep } from '../libs/testkit/src/prepared-databases.ts';

const ROOT = join(import.meta.dirname, '..');

/** Vitest's global set-up: what is made once, so that hundreds of starts cost half. Kept for later runs. */
export async function setup(): Promise<void> {
  // What Node compiled: the programs that tests start need not do so again.
  process.env['NODE_COMPILE_CACHE'] ??= join(ROOT, '.tools/compile-cache');
  // Databases with tables and no rows, of which tests take copies (prepared-databases.ts of testkit).
  const migrationsDir = join(ROOT, 'migrations');
  const made = createHash('sha256').update(readFileSync(join(ROOT, 'node_modules/@electric-sql/pglite/package.json')));
  for (const file of globSync('**/*.{sql,json}', { cwd: migrationsDir }).toSorted()) made.update(readFileSync(join(migrationsDir, file)));
  const folder = join(ROOT, `.tools/test-databases-${made.digest('hex').slice(0, 16)}`);
  if (!existsSync(folder)) await keep(folder, async (place) => await prepareEmbedded(place, migrationsDir));
  process.env['FLOE_TEST_DATABASES'] = folder;
}
