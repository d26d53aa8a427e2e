import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { codeOf } from './errors.ts';
import { MAX_DELTA_DEPTH, tooLarge } from './limits.ts';
import { ByteCache } from './pack/byte-cache.ts';
import { DamagedError } from './pack/damaged.ts';
import { applyDelta, readDeltaSizes } from './pack/delta.ts';
import { PackIndex } from './pack/index-file.ts';
import { objectTooLarge, PackFile, TRAILER_BYTES, type ObjectType, type PackEntry } from './pack/pack-file.ts';

export interface GitObject {
  readonly type: ObjectType;
  readonly bytes: Buffer;
}

const CACHE_BYTES = 32 * 1024 ** 2;
/** Each push brings a pack, so there are many; each open one is a file descriptor and a page of 1 MiB. */
const MAX_OPEN_PACKS = 16;

/** Reads objects from the packs of a mirror. What it holds in memory is bounded, however long it lives. */
export class ObjectStore implements Disposable {
  readonly #folder: string;
  readonly #maxObjectBytes: number;
  readonly #indices = new Map<string, PackIndex>();
  readonly #packs = new Map<string, PackFile>();
  readonly #cache = new ByteCache<string, GitObject>(CACHE_BYTES);

  constructor(gitDir: string, maxObjectBytes: number) {
    this.#folder = join(gitDir, 'objects', 'pack');
    this.#maxObjectBytes = maxObjectBytes;
  }

  /** The object, checked against its id; undefined when it is not here. Throws {@link DamagedError}. */
  read(oid: string): GitObject | undefined {
    const place = this.#find(oid);
    if (place === undefined) return undefined;
    const object = this.#resolve(place.name, place.offset);
    const hash = createHash('sha1').update(`${object.type} ${object.bytes.length}\0`).update(object.bytes).digest('hex');
    if (hash !== oid) throw new DamagedError(`the object ${oid} has another content`);
    return object;
  }

  /** An object's size and first bytes, mostly without unpacking it. */
  peek(oid: string, count: number): { readonly size: number; readonly beginning: Buffer } | undefined {
    const place = this.#find(oid);
    if (place === undefined) return undefined;
    const pack = this.#pack(place.name);
    const entry = pack.entry(place.offset);
    if (entry.type !== undefined) return { size: entry.size, beginning: pack.beginning(entry, count) };
    const { bytes } = this.#resolve(place.name, place.offset);
    return { size: bytes.length, beginning: bytes.subarray(0, count) };
  }

  /** An object's size, without unpacking it. */
  size(oid: string): number | undefined {
    const place = this.#find(oid);
    if (place === undefined) return undefined;
    const pack = this.#pack(place.name);
    const entry = pack.entry(place.offset);
    return entry.type === undefined ? readDeltaSizes(pack.beginning(entry, 32)).resultSize : entry.size;
  }

  /** Forgets what is open: the files are others now. */
  close(): void {
    for (const pack of this.#packs.values()) pack[Symbol.dispose]();
    this.#packs.clear();
    this.#indices.clear();
    this.#cache.clear();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #find(oid: string): { name: string; offset: number } | undefined {
    const found = this.#findOpen(oid);
    if (found !== undefined) return found;
    return this.#openNewIndices() ? this.#findOpen(oid) : undefined;
  }

  #findOpen(oid: string): { name: string; offset: number } | undefined {
    for (const [name, index] of this.#indices) {
      const offset = index.find(oid);
      if (offset !== undefined) return { name, offset };
    }
    return undefined;
  }

  #openNewIndices(): boolean {
    let names: string[];
    try {
      names = readdirSync(this.#folder);
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return false;
      throw error;
    }
    const added = names.filter((name) => name.endsWith('.idx') && !this.#indices.has(name));
    for (const name of added) this.#indices.set(name, new PackIndex(join(this.#folder, name)));
    return added.length > 0;
  }

  #pack(indexName: string): PackFile {
    const open = this.#packs.get(indexName);
    this.#packs.delete(indexName);
    const pack = open ?? this.#openPack(indexName);
    this.#packs.set(indexName, pack);
    const [oldest] = this.#packs;
    if (this.#packs.size > MAX_OPEN_PACKS && oldest !== undefined) {
      oldest[1][Symbol.dispose]();
      this.#packs.delete(oldest[0]);
    }
    return pack;
  }

  #openPack(indexName: string): PackFile {
    const pack = new PackFile(join(this.#folder, indexName.replace(/\.idx$/, '.pack')), this.#maxObjectBytes);
    const hash = this.#indices.get(indexName)?.packHash;
    const isRight = pack.size > TRAILER_BYTES && hash !== undefined && pack.bytes(pack.size - TRAILER_BYTES, TRAILER_BYTES).equals(hash);
    if (isRight) return pack;
    pack[Symbol.dispose]();
    throw new DamagedError('a pack is not the one that its index is of');
  }

  #resolve(name: string, offset: number): GitObject {
    const chain: { readonly entry: PackEntry; readonly name: string }[] = [];
    let place = { name, offset };
    let object: GitObject | undefined;
    for (;;) {
      object = this.#cache.get(`${place.name}:${place.offset}`);
      if (object !== undefined) break;
      const pack = this.#pack(place.name);
      const entry = pack.entry(place.offset);
      if (entry.type !== undefined) {
        object = { type: entry.type, bytes: pack.data(entry).bytes };
        break;
      }
      chain.push({ entry, name: place.name });
      if (chain.length > MAX_DELTA_DEPTH) throw tooLarge(`it keeps a file as more than ${MAX_DELTA_DEPTH} differences on top of each other`);
      const next = typeof entry.base === 'number' ? { name: place.name, offset: entry.base } : this.#find(entry.base ?? '');
      if (next === undefined) throw new DamagedError('the base of a difference is missing');
      place = next;
    }
    for (const link of chain.toReversed()) {
      const delta = this.#pack(link.name).data(link.entry).bytes;
      const { resultSize } = readDeltaSizes(delta);
      if (resultSize > this.#maxObjectBytes) throw objectTooLarge(resultSize, this.#maxObjectBytes);
      object = { type: object.type, bytes: applyDelta(object.bytes, delta) };
    }
    this.#cache.set(`${name}:${offset}`, object, object.bytes.length + 100);
    return object;
  }
}
