import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { getHeapStatistics } from 'node:v8';
import { readObject } from 'isomorphic-git';
import { codeOf } from './errors.ts';
import { DamagedError } from './pack/damaged.ts';
import { objectTooLarge } from './pack/check-pack.ts';

export type ObjectType = 'commit' | 'tree' | 'blob' | 'tag';

export interface GitObject {
  readonly type: ObjectType;
  readonly bytes: Buffer;
}

/** isomorphic-git caches packs and the bases of deltas without limit. When the cache has grown by this much, it is replaced by an empty one. */
const CACHE_BYTES = 256 * 1024 ** 2;
/** Interval of the checks of that growth. */
const LOOK_READS = 32;
const LOOK_BYTES = 1024 ** 2;

/** Reads objects of a mirror by isomorphic-git. */
export class ObjectStore {
  readonly #gitdir: string;
  readonly #maxObjectBytes: number;
  #cache = {};
  /** Memory of buffers when the cache was new and had read the packs. */
  #startBytes: number | undefined;
  #reads = 0;
  #readBytes = 0;

  constructor(gitdir: string, maxObjectBytes: number) {
    this.#gitdir = gitdir;
    this.#maxObjectBytes = maxObjectBytes;
  }

  /** The object, checked against its id; undefined: it is not in the mirror. */
  async read(oid: string): Promise<GitObject | undefined> {
    const found = await this.#find(oid);
    if (found === undefined) return undefined;
    const { type, bytes } = found;
    if (bytes.length > this.#maxObjectBytes) throw objectTooLarge(bytes.length, this.#maxObjectBytes);
    const hash = createHash('sha1').update(`${type} ${bytes.length}\0`).update(bytes).digest('hex');
    if (hash !== oid) throw new DamagedError(`the object ${oid} does not match its id`);
    this.#boundCache(bytes.length);
    return found;
  }

  /** An object's size and first bytes. */
  async peek(oid: string, count: number): Promise<{ readonly size: number; readonly beginning: Buffer } | undefined> {
    const object = await this.read(oid);
    return object && { size: object.bytes.length, beginning: object.bytes.subarray(0, count) };
  }

  /** Clears the cache after files have changed. */
  close(): void {
    this.#cache = {};
    this.#startBytes = undefined;
  }

  #boundCache(bytes: number): void {
    this.#reads += 1;
    this.#readBytes += bytes;
    if (this.#startBytes !== undefined && this.#reads < LOOK_READS && this.#readBytes < LOOK_BYTES) return;
    this.#reads = 0;
    this.#readBytes = 0;
    const { external_memory: held } = getHeapStatistics();
    this.#startBytes ??= held;
    if (held - this.#startBytes > CACHE_BYTES) this.close();
  }

  async #find(oid: string): Promise<GitObject | undefined> {
    try {
      const { type, object } = await readObject({ fs, gitdir: this.#gitdir, cache: this.#cache, oid, format: 'content' });
      const bytes = object as Uint8Array;
      return { type: type as ObjectType, bytes: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength) };
    } catch (error) {
      if (codeOf(error) === 'NotFoundError') return undefined;
      throw error;
    }
  }
}
