import { createHash } from 'node:crypto';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { deflateSync } from 'node:zlib';
import type { ExactEntry } from './tree.ts';

export interface ObjectWriterDeps {
  readonly dir: string;
  readonly writeWhole: (path: string, content: string | Uint8Array) => Promise<void>;
}

/** What a commit is made with of one that was fetched. */
export interface CommitMakerDeps extends ObjectWriterDeps {
  readonly tree: (oid: string) => Promise<readonly ExactEntry[]>;
}

/** An entry of a tree that is to be written. */
export interface WrittenEntry {
  readonly mode: string;
  readonly name: Buffer;
  readonly oid: string;
}

/** Git sorts folders as if their names ended with a slash. */
export function inOrder<Entry extends WrittenEntry>(entries: readonly Entry[]): Entry[] {
  const keyOf = ({ mode, name }: Entry): Buffer => (/^0?4/.test(mode) ? Buffer.concat([name, Buffer.from('/')]) : name);
  return entries.toSorted((one, other) => Buffer.compare(keyOf(one), keyOf(other)));
}

/** Writes an object beside those of the repository, and returns its id. */
export async function writeObject({ dir, writeWhole }: ObjectWriterDeps, type: string, content: Buffer): Promise<string> {
  const object = Buffer.concat([Buffer.from(`${type} ${content.length}\0`), content]);
  const oid = createHash('sha1').update(object).digest('hex');
  await writeWhole(placeOf(dir, oid), deflateSync(object));
  return oid;
}

/** Whether {@link writeObject} wrote it, and nobody removed it. */
export async function hasObject(dir: string, oid: string): Promise<boolean> {
  return await access(placeOf(dir, oid)).then(
    () => true,
    () => false,
  );
}

function placeOf(dir: string, oid: string): string {
  return join(dir, 'objects', oid.slice(0, 2), oid.slice(2));
}

/** Writes a tree with these entries, in their order. */
export async function writeTree(deps: ObjectWriterDeps, entries: readonly WrittenEntry[]): Promise<string> {
  const parts = entries.flatMap(({ mode, name, oid }) => [
    Buffer.from(`${mode.replace(/^0+/, '')} `),
    name,
    Buffer.from('00', 'hex'),
    Buffer.from(oid, 'hex'),
  ]);
  return await writeObject(deps, 'tree', Buffer.concat(parts));
}
