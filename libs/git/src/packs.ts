import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** Each fetch with new commits adds a pack, and each read searches all of them. */
export const MAX_PACKS = 100;
const SPARE_BYTES = 64 * 1024 ** 2;
const MAX_GROWTH = 3;

/** The packs of a mirror. */
export interface Packs {
  /** Whether the packs are so many, or so large, that one complete download is better. */
  isWorn(): Promise<boolean>;
  /** Removes all packs but this one. */
  keepOnly(packPath: string): Promise<void>;
}

export function openPacks(dir: string, maxPacks = MAX_PACKS): Packs {
  const folder = join(dir, 'objects/pack');
  let mostPacks = maxPacks;
  let mostBytes = 0;
  return {
    async isWorn() {
      const names = (await readdir(folder)).filter((name) => name.endsWith('.pack'));
      const sizes = await Promise.all(names.map(async (name) => (await stat(join(folder, name))).size));
      const total = sizes.reduce((sum, size) => sum + size, 0);
      mostBytes = Math.max(mostBytes, MAX_GROWTH * Math.max(0, ...sizes) + SPARE_BYTES);
      if (names.length <= mostPacks && total <= mostBytes) return false;
      // A repository that became too large for one download is not downloaded again at each look.
      mostPacks = names.length + maxPacks;
      mostBytes = total + SPARE_BYTES;
      return true;
    },
    async keepOnly(packPath) {
      const kept = new Set([packPath, packPath.replace(/pack$/, 'idx')]);
      const paths = (await readdir(folder)).map((name) => join(folder, name)).filter((path) => !kept.has(path));
      // An index without its pack is damage; a pack without its index is not used.
      const indicesFirst = [...paths.filter((path) => path.endsWith('.idx')), ...paths.filter((path) => !path.endsWith('.idx'))];
      for (const path of indicesFirst) await rm(path, { force: true });
      mostPacks = maxPacks;
      mostBytes = 0;
    },
  };
}
