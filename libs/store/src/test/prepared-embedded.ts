import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PGlite } from '@electric-sql/pglite';
import { preparedFolder } from '@floe/testkit';

const IMAGE = 'embedded.tar';

/** Makes the embedded databases that the tests of a run copy: a folder, and one to be loaded into memory. */
export async function prepareEmbedded(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const client = await PGlite.create({ dataDir: join(folder, 'embedded') });
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
