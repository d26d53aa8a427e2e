import { randomUUID } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { FloeError } from '@floe/runtime';

/** A file that is there whole, or not at all. */
export interface WholeFile extends AsyncDisposable {
  append(text: string): Promise<void>;
  /** What was written is the file from here on, in the place of one that was there. */
  keep(): Promise<void>;
}

/** Throws `FloeError('USAGE')` where nothing can be written. */
export async function openWhole(path: string): Promise<WholeFile> {
  const partial = `${path}.${randomUUID().slice(0, 8)}.partial`;
  const file = await open(partial, 'wx', 0o600).catch((cause: unknown) => {
    throw new FloeError('USAGE', `${path} cannot be written (${(cause as NodeJS.ErrnoException).code ?? 'unknown error'})`, { cause });
  });
  let isKept = false;
  return {
    append: async (text) => await file.appendFile(text),
    async keep() {
      await file.sync();
      await rename(partial, path);
      isKept = true;
    },
    async [Symbol.asyncDispose]() {
      await file.close();
      if (!isKept) await rm(partial, { force: true });
    },
  };
}
