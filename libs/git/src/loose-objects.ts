import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { CommitSha } from '@floe/model';
import { parseCommit } from './commit.ts';
import { codeOf } from './errors.ts';
import type { ObjectStore } from './object-store.ts';
import { parseTree } from './tree.ts';

interface LooseObject {
  readonly path: string;
  /** What it takes of the disk. */
  readonly bytes: number;
  /** In ns. */
  readonly writtenAt: bigint;
}

/** `stat` counts blocks of this size. */
const BLOCK_BYTES = 512;

/**
 * Removes the objects beside the packs that none of these commits has, once all beside the packs are larger than `aboveBytes`. Only commits that Floe makes
 * are written there; each writes all that it needs. `onStep` is called for each object, and may throw to end it.
 */
export async function removeUnused(
  dir: string,
  objects: ObjectStore,
  commits: readonly CommitSha[],
  { aboveBytes = 0, onStep }: { readonly aboveBytes?: number; readonly onStep: () => void },
): Promise<void> {
  const loose = await looseObjects(dir, onStep);
  if ([...loose.values()].reduce((sum, { bytes }) => sum + bytes, 0) <= aboveBytes) return;
  const used = new Set<string>();
  const queue: string[] = [...commits];
  for (const oid of queue) {
    if (used.has(oid) || !loose.has(oid)) continue;
    onStep();
    used.add(oid);
    const { type, bytes } = (await objects.read(oid)) ?? {};
    if (bytes === undefined) continue;
    if (type === 'commit') queue.push(parseCommit(oid as CommitSha, bytes).tree);
    if (type === 'tree') queue.push(...parseTree(bytes).map((entry) => entry.oid));
  }
  const unused = [...loose].flatMap(([oid, object]) => (used.has(oid) ? [] : [object]));
  // The newest first: a tree that is there has all that is below it, wherever this ends.
  for (const { path } of unused.toSorted((one, other) => (one.writtenAt < other.writtenAt ? 1 : one.writtenAt > other.writtenAt ? -1 : 0))) {
    onStep();
    await rm(path, { force: true });
  }
}

/** The objects beside the packs, by id. */
async function looseObjects(dir: string, onStep: () => void): Promise<ReadonlyMap<string, LooseObject>> {
  const folder = join(dir, 'objects');
  const found = new Map<string, LooseObject>();
  for (const start of await readdir(folder)) {
    if (!/^[0-9a-f]{2}$/.test(start)) continue;
    for (const rest of await readdir(join(folder, start))) {
      onStep();
      const path = join(folder, start, rest);
      const { blocks, mtimeNs } = await stat(path, { bigint: true });
      found.set(`${start}${rest}`, { path, bytes: Number(blocks) * BLOCK_BYTES, writtenAt: mtimeNs });
    }
  }
  return found;
}

/** Calls `write` with a way to write files; if it fails, those of them that were not there before are removed. */
export async function writingAll<Result>(
  writeWhole: (path: string, content: string | Uint8Array) => Promise<void>,
  write: (writeWhole: (path: string, content: string | Uint8Array) => Promise<void>) => Promise<Result>,
): Promise<Result> {
  const written: string[] = [];
  try {
    return await write(async (path, content) => {
      if (!(await isThere(path))) written.push(path);
      await writeWhole(path, content);
    });
  } catch (error) {
    // In this order a tree that is there has all that is below it, wherever this ends.
    for (const path of written.toReversed()) await rm(path, { force: true });
    throw error;
  }
}

async function isThere(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    (error: unknown) => {
      if (codeOf(error) === 'ENOENT') return false;
      throw error;
    },
  );
}
