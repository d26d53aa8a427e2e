import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { unlessMissing } from '../cache-folder/read-folder.ts';

/** The files of a binary cache, wherever it is. Names are below it: `nix-cache-info`, `HASH.narinfo`, `nar/…`. */
export interface CacheFiles {
  /** For messages: it has no login. */
  readonly place: string;
  /** Undefined: there is no such file. Throws what {@link CacheError} says. */
  readText(name: string, maxBytes: number): Promise<string | undefined>;
  /** Bytes of a file; 'unknown': it is there. Undefined: it is not. */
  sizeOf(name: string): Promise<number | 'unknown' | undefined>;
}

/** Why a cache could not be used. All may pass: what is away comes back, and a login is replaced. */
export type CacheErrorCode =
  /** It does not answer, or says that it cannot now. */
  | 'CACHE_AWAY'
  /** It does not admit us. */
  | 'CACHE_REFUSES'
  | 'CACHE_FULL'
  /** What answers there is no cache. */
  | 'CACHE_FOREIGN'
  /** It does not take one file, or lacks a path, or has it in a form that no key signed: the others are not concerned. */
  | 'CACHE_PATH_REFUSED'
  | 'CACHE_PATH_MISSING'
  | 'CACHE_PATH_UNSIGNED';

/** A cache in a folder. */
export class FolderFiles implements CacheFiles {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
  }

  get place(): string {
    return this.#dir;
  }

  pathOf(name: string): string {
    return join(this.#dir, name);
  }

  async readText(name: string, maxBytes: number): Promise<string | undefined> {
    return await unlessMissing(async () => {
      await using file = await open(this.pathOf(name));
      const { size } = await file.stat();
      const { buffer, bytesRead } = await file.read(Buffer.alloc(Math.min(size, maxBytes)));
      return buffer.toString('utf8', 0, bytesRead);
    });
  }

  async sizeOf(name: string): Promise<number | undefined> {
    return await unlessMissing(async () => (await stat(this.pathOf(name))).size);
  }
}
