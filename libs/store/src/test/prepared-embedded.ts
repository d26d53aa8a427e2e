import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PGlite } from '@electric-sql/pglite';
import { silentLogger, systemClock } from '@floe/runtime';
import { preparedFolder } from '@floe/testkit';
import { openStore } from '../open.ts';

const IMAGE = 'embedded.tar';

/** Makes the embedded databases that the tests of a run copy, with all tables: a folder, and one to be loaded into memory. */
export async function prepareEmbedded(folder: string, migrationsDir: string): Promise<void> {
  const dataDir = join(folder, 'embedded');
  await mkdir(folder, { recursive: true });
  await (await PGlite.create({ dataDir })).close();
  const store = await openStore({ kind: 'pglite', dataDir }, { clock: systemClock, logger: silentLogger, migrationsDir });
  await store[Symbol.asyncDispose]();
  const client = await PGlite.create({ dataDir });
  const dumped = await client.dumpDataDir('none');
  await client.close();
  await writeFile(join(folder, IMAGE), Buffer.from(await dumped.arrayBuffer()));
}

let image: Promise<Blob> | undefined;

/** For a database in memory. Undefined: nothing was prepared. */
export async function preparedImage(): Promise<Blob | undefined> {
  const folder = preparedFolder();
  if (folder === undefined) return undefined;
  image ??= readFile(join(folder, IMAGE)).then((bytes) => new Blob([bytes]));
  return await image;
}
