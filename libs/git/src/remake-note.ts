import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { readFileIfPresent } from '@floe/runtime';

const NAME = 'floe-remade';
/** A disk may damage the same mirror again, but not within minutes. */
const VALID_MS = 3600_000;

/** Records for which head the mirror was last recreated. On the disk, because the thread may die of what it reads. */
export interface RemakeNote {
  isNoted(head: string): Promise<boolean>;
  note(head: string): Promise<void>;
}

export function openRemakeNote(dir: string, writeWhole: (path: string, content: string) => Promise<void>): RemakeNote {
  const path = join(dir, NAME);
  return {
    async isNoted(head) {
      if ((await readFileIfPresent(path)) !== head) return false;
      // Both times are from the file system's clock.
      const written = (await stat(path)).mtimeMs;
      await writeWhole(`${path}-now`, '');
      return Math.abs((await stat(`${path}-now`)).mtimeMs - written) < VALID_MS;
    },
    note: async (head) => await writeWhole(path, head),
  };
}
