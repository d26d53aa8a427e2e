import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { CommitSha } from '@floe/model';
import { readFileIfPresent } from '@floe/runtime';
import { toCommitSha } from './commit-sha.ts';
import { codeOf } from './errors.ts';

/** The refs of a mirror: one file each. Only this package writes them, so none is packed. */
export interface Refs {
  /** Undefined: there is no such ref. */
  read(ref: string): Promise<CommitSha | undefined>;
  /** Does nothing when the ref already has this value. */
  move(ref: string, sha: CommitSha): Promise<void>;
}

export function openRefs(dir: string, writeWhole: (path: string, content: string) => Promise<void>): Refs {
  async function read(ref: string): Promise<CommitSha | undefined> {
    try {
      const text = (await readFileIfPresent(join(dir, ref)))?.trim();
      return text !== undefined && /^[0-9a-f]{40}$/.test(text) ? toCommitSha(text) : undefined;
    } catch (error) {
      if (isOtherKind(error)) return undefined;
      throw error;
    }
  }
  return {
    read,
    async move(ref, sha) {
      if ((await read(ref)) === sha) return;
      try {
        await writeWhole(join(dir, ref), `${sha}\n`);
      } catch (error) {
        if (!isOtherKind(error)) throw error;
        // The mirror tracked another branch before: "release" is a file, and "release/25.05" needs a folder of that name.
        await rm(join(dir, 'refs', 'heads'), { recursive: true, force: true });
        await writeWhole(join(dir, ref), `${sha}\n`);
      }
    },
  };
}

function isOtherKind(error: unknown): boolean {
  return ['ENOTDIR', 'EISDIR', 'EEXIST', 'ENOTEMPTY'].includes(codeOf(error) ?? '');
}
