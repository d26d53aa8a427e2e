import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { prepareEmbedded } from '../libs/store/src/test/prepared-embedded.ts';
import { keep } from '../libs/testkit/src/prepared-databases.ts';

const ROOT = join(import.meta.dirname, '..');

/** Vitest's global set-up: what is made once, so that hundreds of starts cost half. Kept for later runs. */
export async function setup(): Promise<void> {
  // What Node compiled: the programs that tests start need not do so again.
  process.env['NODE_COMPILE_CACHE'] ??= join(ROOT, '.tools/compile-cache');
  // Empty databases, of which tests take copies (prepared-databases.ts of testkit).
  const { version } = JSON.parse(readFileSync(join(ROOT, 'node_modules/@electric-sql/pglite/package.json'), 'utf8')) as { version: string };
  const folder = join(ROOT, `.tools/test-databases-${version}`);
  if (!existsSync(folder)) await keep(folder, prepareEmbedded);
  process.env['FLOE_TEST_DATABASES'] = folder;
}
