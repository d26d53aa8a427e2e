import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { readObject } from 'isomorphic-git';
import { codeOf } from './errors.ts';
import { DamagedError } from './pack/damaged.ts';
import { objectTooLarge } from './pack/check-pack.ts';

export type ObjectType = 'commit' | 'tree' | 'blob' | 'tag';

export interface GitObject {
  readonly type: ObjectType;
  readonly bytes: Buffer;
}

/** isomorphic-git keeps packs and the bases of deltas for as long as its cache lives: after this much was read, it gets a new one. */
const CACHE_BYTES = 32 * 1024 ** 2;

/** Reads objects of a mirror through isomorphic-git. */
export class ObjectStore {
  readonly #gitdir: string;
  readonly #maxObjectBytes: number;
  #cache = {};
  #readBytes = 0;

  constructor(gitdir: string, maxObjectBytes: number) {
    this.#gitdir = gitdir;
    this.#maxObjectBytes = maxObjectBytes;
  }

  /** The object, checked against its id; undefined when it is not here. */
  async read(oid: string): Promise<GitObject | undefined> {
    const found = await this.#find(oid);
    if (found === undefined) return undefined;
    const { type, bytes } = found;
    if (bytes.length > this.#maxObjectBytes) throw objectTooLarge(bytes.length, this.#maxObjectBytes);
    const hash = createHash('sha1').update(`${type} ${bytes.length}\0`).update(bytes).digest('hex');
    if (hash !== oid) throw new DamagedError(`the object ${oid} has another content`);
    this.#readBytes += bytes.length;
    if (this.#readBytes > CACHE_BYTES) this.close();
    return found;
  }

  /** An object's size and first bytes. */
  async peek(oid: string, count: number): Promise<{ readonly size: number; readonly beginning: Buffer } | undefined> {
    const object = await this.read(oid);
    return object && { size: object.bytes.length, beginning: object.bytes.subarray(0, count) };
  }

  /** Forgets what is open: the files are others now. */
  close(): void {
    this.#cache = {};
    this.#readBytes = 0;
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
