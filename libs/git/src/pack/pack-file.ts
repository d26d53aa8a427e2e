import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { constants, inflateSync } from 'node:zlib';
import { mib, OBJECT_SETTING, tooLarge } from '../limits.ts';
import { DamagedError } from './damaged.ts';

/** The kinds of objects, by their number in a pack. */
const TYPES = [undefined, 'commit', 'tree', 'blob', 'tag'] as const;
export type ObjectType = 'commit' | 'tree' | 'blob' | 'tag';

const OFFSET_DELTA = 6;
const REF_DELTA = 7;
const PAGE_BYTES = 1024 ** 2;
/** A type, a size of 64 bits and an object id. */
const MAX_HEADER_BYTES = 40;
export const TRAILER_BYTES = 20;

/** An object or delta as it lies in a pack. */
export interface PackEntry {
  readonly offset: number;
  /** Undefined for a delta: it has the type of its base. */
  readonly type: ObjectType | undefined;
  /** Of the object or the delta itself, unpacked. */
  readonly size: number;
  /** Where the base of a delta is: at an offset of this pack, or by its id. */
  readonly base: number | string | undefined;
  readonly dataOffset: number;
}

/** A pack on the disk, read in pieces: its size costs no memory. */
export class PackFile implements Disposable {
  readonly size: number;
  readonly #fd: number;
  readonly #maxObjectBytes: number;
  #page: Buffer = Buffer.alloc(0);
  #pageOffset = 0;

  constructor(path: string, maxObjectBytes: number) {
    this.#fd = openSync(path, 'r');
    this.size = fstatSync(this.#fd).size;
    this.#maxObjectBytes = maxObjectBytes;
  }

  /** At most `length` bytes from `offset`; valid until the next read. */
  bytes(offset: number, length: number): Buffer {
    const from = offset - this.#pageOffset;
    if (from >= 0 && from + length <= this.#page.length) return this.#page.subarray(from, from + length);
    const wanted = Math.max(0, Math.min(Math.max(length, PAGE_BYTES), this.size - offset));
    const page = Buffer.allocUnsafe(wanted);
    let filled = 0;
    while (filled < wanted) {
      const count = readSync(this.#fd, page, filled, wanted - filled, offset + filled);
      if (count === 0) throw new DamagedError('a pack became shorter');
      filled += count;
    }
    if (wanted <= PAGE_BYTES) {
      this.#page = page;
      this.#pageOffset = offset;
    }
    return page.subarray(0, length);
  }

  /** Reads what stands before the data. Throws `REPOSITORY_TOO_LARGE` before anything of that size is unpacked. */
  entry(offset: number): PackEntry {
    const bytes = this.bytes(offset, Math.min(MAX_HEADER_BYTES, this.size - TRAILER_BYTES - offset));
    let at = 0;
    const next = (): number => {
      const byte = bytes[at];
      if (byte === undefined) throw new DamagedError('a pack ends within a header');
      at += 1;
      return byte;
    };
    let byte = next();
    const kind = (byte >> 4) & 7;
    let size = byte & 15;
    for (let factor = 16; byte >= 0x80; factor *= 128) {
      byte = next();
      size += (byte & 0x7f) * factor;
    }
    if (size > this.#maxObjectBytes) throw objectTooLarge(size, this.#maxObjectBytes);
    if (kind === OFFSET_DELTA) {
      byte = next();
      let back = byte & 0x7f;
      while (byte >= 0x80) {
        byte = next();
        back = (back + 1) * 128 + (byte & 0x7f);
      }
      if (back <= 0 || back > offset) throw new DamagedError('a delta names a base outside of its pack');
      return { offset, type: undefined, size, base: offset - back, dataOffset: offset + at };
    }
    if (kind === REF_DELTA) {
      const base = bytes.toString('hex', at, at + 20);
      if (base.length !== 40) throw new DamagedError('a pack ends within a header');
      return { offset, type: undefined, size, base, dataOffset: offset + at + 20 };
    }
    const type = TYPES[kind];
    if (type === undefined) throw new DamagedError(`an object of the unknown type ${kind}`);
    return { offset, type, size, base: undefined, dataOffset: offset + at };
  }

  /** The unpacked data of an entry, and where the entry ends. */
  data(entry: PackEntry): { readonly bytes: Buffer; readonly end: number } {
    // zlib needs at most a thousandth more than the data itself, and some bytes.
    const window = Math.min(this.size - TRAILER_BYTES - entry.dataOffset, entry.size + Math.floor(entry.size / 256) + 1024);
    const { bytes, consumed } = inflate(this.bytes(entry.dataOffset, Math.max(0, window)), entry.size);
    if (bytes.length !== entry.size) throw new DamagedError('an object is shorter than its header says');
    return { bytes, end: entry.dataOffset + consumed };
  }

  /** The first bytes of an entry's data, without unpacking the rest. */
  beginning(entry: PackEntry, count: number): Buffer {
    const input = this.bytes(entry.dataOffset, Math.max(0, Math.min(count * 2 + 1024, this.size - TRAILER_BYTES - entry.dataOffset)));
    try {
      return inflateSync(input, { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: entry.size + 1, chunkSize: 4096 }).subarray(0, count);
    } catch (cause) {
      if (isTooLong(cause)) throw new DamagedError('an object is longer than its header says', { cause });
      throw new DamagedError('an object cannot be unpacked', { cause });
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

/** Node gives this instead of the bytes with `info: true`, which its types do not know. */
interface Inflated {
  readonly buffer: Buffer;
  readonly engine: { readonly bytesWritten: number };
}

function inflate(input: Buffer, size: number): { readonly bytes: Buffer; readonly consumed: number } {
  try {
    const options = { info: true, chunkSize: Math.max(64, size + 1), maxOutputLength: size + 1 };
    const { buffer, engine } = inflateSync(input, options) as unknown as Inflated;
    return { bytes: buffer, consumed: engine.bytesWritten };
  } catch (cause) {
    if (isTooLong(cause)) throw new DamagedError('an object is longer than its header says', { cause });
    throw new DamagedError('an object cannot be unpacked', { cause });
  }
}

function isTooLong(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE';
}

export function objectTooLarge(size: number, limit: number): Error {
  return tooLarge(`it holds a file of ${mib(size)}, and the limit is ${mib(limit)}`, OBJECT_SETTING);
}
