import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { CommitSha } from '@floe/model';
import { parseCommit } from './commit.ts';
import type { ObjectStore } from './object-store.ts';
import { parseTree } from './tree.ts';

/** Removes the objects beside the packs that none of these commits has. Only commits that Floe makes are written there; each writes all that it needs. */
export async function removeUnused(dir: string, objects: ObjectStore, commits: readonly CommitSha[]): Promise<void> {
  const loose = await looseObjects(dir);
  const used = new Set<string>();
  const queue: string[] = [...commits];
  for (const oid of queue) {
    if (used.has(oid) || !loose.has(oid)) continue;
    used.add(oid);
    const { type, bytes } = (await objects.read(oid)) ?? {};
    if (bytes === undefined) continue;
    if (type === 'commit') queue.push(parseCommit(oid as CommitSha, bytes).tree);
    if (type === 'tree') queue.push(...parseTree(bytes).map((entry) => entry.oid));
  }
  for (const [oid, path] of loose) if (!used.has(oid)) await rm(path, { force: true });
}

/** The ids of the objects beside the packs, and their files. */
async function looseObjects(dir: string): Promise<ReadonlyMap<string, string>> {
  const folder = join(dir, 'objects');
  const found = new Map<string, string>();
  for (const start of await readdir(folder)) {
    if (!/^[0-9a-f]{2}$/.test(start)) continue;
    for (const rest of await readdir(join(folder, start))) found.set(`${start}${rest}`, join(folder, start, rest));
  }
  return found;
}
