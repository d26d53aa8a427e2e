import { createHash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import { DOWNLOAD_SETTING, MAX_DELTA_DEPTH, MAX_OBJECTS, mib, tooLarge, UNPACKED_RATIO, type RepositoryLimits } from '../limits.ts';
import { ByteCache } from './byte-cache.ts';
import { DamagedError } from './damaged.ts';
import { applyDelta, readDeltaSizes } from './delta.ts';
import { writeIndex } from './index-file.ts';
import { objectTooLarge, TRAILER_BYTES, type ObjectType, type PackEntry, type PackFile } from './pack-file.ts';

const CACHE_BYTES = 64 * 1024 ** 2;
/** Between two looks at the signal. */
const PAUSE_OBJECTS = 200;
const PAUSE_BYTES = 16 * 1024 ** 2;
/** Deltas are applied in the order of the pack, where a base is mostly still in the cache: this bounds the worst order. */
const MAX_REPEATS = 4;

export interface BuildIndexOptions {
  readonly limits: RepositoryLimits;
  readonly signal: AbortSignal;
  readonly onProgress: (objects: number, total: number) => void;
}

interface Known {
  readonly type: ObjectType;
  readonly bytes: Buffer;
}
interface Scanned extends PackEntry {
  readonly crc: number;
  oid: Buffer | undefined;
}

/**
 * Looks at every object of a pack and makes its index. Nothing is unpacked before its size was judged, so that neither
 * a file of zeros nor a chain of deltas that doubles with each link takes more memory than the limits say. Throws
 * {@link DamagedError} for what is no whole pack: it must hold the bases of all its deltas.
 */
export async function buildIndex(pack: PackFile, options: BuildIndexOptions): Promise<Buffer> {
  const count = readCount(pack);
  const builder = new IndexBuilder(pack, options, count);
  await builder.scan();
  await builder.resolveDeltas();
  return builder.index();
}

/** The number of objects that a pack says it has. */
export function readCount(pack: PackFile): number {
  const header = pack.bytes(0, 12);
  const version = header.length < 12 || header.toString('latin1', 0, 4) !== 'PACK' ? 0 : header.readUInt32BE(4);
  if (pack.size < 12 + TRAILER_BYTES || version < 2 || version > 3) throw new DamagedError('this is no pack');
  const count = header.readUInt32BE(8);
  if (count > MAX_OBJECTS) throw tooLarge(`its history has ${count} objects, and the limit is ${MAX_OBJECTS}`);
  return count;
}

class IndexBuilder {
  readonly #pack: PackFile;
  readonly #options: BuildIndexOptions;
  readonly #count: number;
  readonly #entries: Scanned[] = [];
  readonly #byOffset = new Map<number, number>();
  readonly #byOid = new Map<string, number>();
  readonly #cache = new ByteCache<number, Known>(CACHE_BYTES);
  #done = 0;
  #unpackedBytes = 0;
  #appliedBytes = 0;
  #sincePause = { objects: 0, bytes: 0 };

  constructor(pack: PackFile, options: BuildIndexOptions, count: number) {
    this.#pack = pack;
    this.#options = options;
    this.#count = count;
  }

  /** Finds where each object begins, judges its size, and names those that are whole. */
  async scan(): Promise<void> {
    let offset = 12;
    for (let index = 0; index < this.#count; index += 1) {
      if (offset >= this.#pack.size - TRAILER_BYTES) throw new DamagedError('a pack has fewer objects than it says');
      const entry = this.#pack.entry(offset);
      const { bytes, end } = this.#pack.data(entry);
      this.#judge(entry, bytes);
      const scanned: Scanned = { ...entry, crc: this.#crc(offset, end), oid: undefined };
      this.#entries.push(scanned);
      this.#byOffset.set(offset, index);
      if (entry.type !== undefined) this.#name(index, scanned, { type: entry.type, bytes });
      offset = end;
      await this.#pause(bytes.length);
    }
    if (offset !== this.#pack.size - TRAILER_BYTES) throw new DamagedError('a pack goes on behind its last object');
  }

  #judge(entry: PackEntry, data: Buffer): void {
    const { limits } = this.#options;
    const size = entry.type === undefined ? readDeltaSizes(data).resultSize : entry.size;
    if (size > limits.objectBytes) throw objectTooLarge(size, limits.objectBytes);
    this.#unpackedBytes += size;
    const most = limits.downloadBytes * UNPACKED_RATIO;
    if (this.#unpackedBytes > most) throw tooLarge(`its history is larger than ${mib(most)} when it is unpacked`, DOWNLOAD_SETTING);
  }

  #crc(from: number, end: number): number {
    let crc = 0;
    for (let at = from; at < end; at += PAUSE_BYTES) crc = crc32(this.#pack.bytes(at, Math.min(PAUSE_BYTES, end - at)), crc);
    return crc;
  }

  #name(index: number, entry: Scanned, object: Known): void {
    const hash = createHash('sha1').update(`${object.type} ${object.bytes.length}\0`).update(object.bytes).digest();
    entry.oid = hash;
    this.#byOid.set(hash.toString('hex'), index);
    this.#cache.set(index, object, object.bytes.length + 100);
    this.#done += 1;
  }

  /** Names what is kept as a difference. A base that is named by its id may come later than what builds on it. */
  async resolveDeltas(): Promise<void> {
    const waiting = new Map<string, number[]>();
    const ready = this.#entries.flatMap((entry, index) => (entry.oid === undefined ? [index] : [])).toReversed();
    for (let index = ready.pop(); index !== undefined; index = ready.pop()) {
      const entry = this.#entries[index];
      if (entry === undefined || entry.oid !== undefined) continue;
      const object = this.#resolve(index);
      if (typeof object === 'string') {
        waiting.set(object, [...(waiting.get(object) ?? []), index]);
        continue;
      }
      this.#name(index, entry, object);
      const oid = this.#entries[index]?.oid?.toString('hex') ?? '';
      ready.push(...(waiting.get(oid) ?? []));
      waiting.delete(oid);
      await this.#pause(object.bytes.length);
    }
    if (waiting.size > 0) throw new DamagedError('a pack lacks the base of a difference');
  }

  /** The object at `index`, or the id of the base that it waits for. */
  #resolve(index: number): Known | string {
    const chain: Scanned[] = [];
    let current = index;
    let known: Known | undefined;
    while (known === undefined) {
      const entry = this.#entries[current];
      if (entry === undefined) throw new DamagedError('a delta names a base that is no object');
      known = this.#cache.get(current);
      if (known !== undefined) break;
      if (entry.type !== undefined) {
        known = { type: entry.type, bytes: this.#pack.data(entry).bytes };
        break;
      }
      chain.push(entry);
      if (chain.length > MAX_DELTA_DEPTH) throw tooLarge(`it keeps a file as more than ${MAX_DELTA_DEPTH} differences on top of each other`);
      const base = typeof entry.base === 'number' ? this.#byOffset.get(entry.base) : this.#byOid.get(entry.base ?? '');
      if (base === undefined && typeof entry.base === 'string') return entry.base;
      current = base ?? -1;
    }
    for (const entry of chain.toReversed()) {
      const bytes = applyDelta(known.bytes, this.#pack.data(entry).bytes);
      known = { type: known.type, bytes };
      this.#appliedBytes += bytes.length;
      const most = this.#options.limits.downloadBytes * UNPACKED_RATIO * MAX_REPEATS;
      if (this.#appliedBytes > most) throw tooLarge('its pack takes too much work to unpack', DOWNLOAD_SETTING);
      const at = this.#byOffset.get(entry.offset);
      if (at !== undefined) this.#cache.set(at, known, bytes.length + 100);
    }
    return known;
  }

  index(): Buffer {
    const entries = this.#entries.map(({ oid, crc, offset }) => {
      if (oid === undefined) throw new DamagedError('an object has no name');
      return { oid, crc, offset };
    });
    return writeIndex(entries, Buffer.from(this.#pack.bytes(this.#pack.size - TRAILER_BYTES, TRAILER_BYTES)));
  }

  /** Lets the thread hear that it should stop. */
  async #pause(bytes: number): Promise<void> {
    const since = this.#sincePause;
    since.objects += 1;
    since.bytes += bytes;
    if (since.objects < PAUSE_OBJECTS && since.bytes < PAUSE_BYTES) return;
    this.#sincePause = { objects: 0, bytes: 0 };
    this.#options.onProgress(this.#done, this.#count);
    await setImmediate();
    this.#options.signal.throwIfAborted();
  }
}
