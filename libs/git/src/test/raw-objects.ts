import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { deflateSync } from 'node:zlib';

/** Writes an object into a repository without git's checks. Returns its id. */
export async function writeRawObject(gitDir: string, type: string, content: Buffer | string): Promise<string> {
  const bytes = Buffer.from(content);
  const object = Buffer.concat([Buffer.from(`${type} ${bytes.length}\0`), bytes]);
  const oid = createHash('sha1').update(object).digest('hex');
  const path = join(gitDir, 'objects', oid.slice(0, 2), oid.slice(2));
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, deflateSync(object));
  return oid;
}

/** Encodes a tree, with the entries in the given order. */
export function rawTree(entries: readonly { readonly mode: string; readonly name: string; readonly oid: string }[]): Buffer {
  return Buffer.concat(entries.flatMap(({ mode, name, oid }) => [Buffer.from(`${mode} ${name}\0`), Buffer.from(oid, 'hex')]));
}

/** Points a branch at any object. */
export async function pointBranch(gitDir: string, oid: string, branch = 'main'): Promise<void> {
  await writeFile(join(gitDir, 'refs/heads', branch), `${oid}\n`);
}
