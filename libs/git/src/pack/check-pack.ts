import { createHash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { inflateSync } from 'node:zlib';
import { chainBytes, DOWNLOAD_SETTING, MAX_OBJECTS, mib, OBJECT_SETTING, tooLarge, UNPACKED_RATIO, type RepositoryLimits } from '../limits.ts';
import { DamagedError } from './damaged.ts';

const HEADER_BYTES = 12;
const TRAILER_BYTES = 20;
const OFFSET_DELTA = 6;
const REF_DELTA = 7;
/** Number of objects between two checks of the signal. */
const PAUSE_OBJECTS = 200;
const PAUSE_BYTES = 16 * 1024 ** 2;

export interface PackCheckOptions {
  readonly limits: RepositoryLimits;
  readonly signal: AbortSignal;
  readonly onProgress: (objects: number, total: number) => void;
}

/**
 * Checks a pack before isomorphic-git unpacks it: the hash, the number of objects, the size of each and of all together. No
 * object is inflated beyond its declared size, so neither zeros nor doubling deltas take more memory than the limits allow.
 * Returns the number of objects. Throws {@link DamagedError} for an invalid pack.
 */
export async function checkPack(pack: Buffer, options: PackCheckOptions): Promise<number> {
  const { limits, signal, onProgress } = options;
  const count = readCount(pack);
  const end = pack.length - TRAILER_BYTES;
  if (!createHash('sha1').update(pack.subarray(0, end)).digest().equals(pack.subarray(end))) throw new DamagedError('a pack has another hash');
  const most = limits.downloadBytes * UNPACKED_RATIO;
  const maxChainBytes = chainBytes(limits);
  /** For each object: its size including all of its delta bases. */
  const chains = new Map<number, number>();
  let offset = HEADER_BYTES;
  let unpackedBytes = 0;
  let bytesSincePause = 0;
  for (let index = 0; index < count; index += 1) {
    const entry = readEntry(pack.subarray(offset, end), offset);
    if (entry.size > limits.objectBytes) throw objectTooLarge(entry.size, limits.objectBytes);
    const { buffer, consumed } = inflate(pack.subarray(offset + entry.headerBytes, end), entry.size);
    const size = entry.isDelta ? deltaResultSize(buffer) : entry.size;
    if (size > limits.objectBytes) throw objectTooLarge(size, limits.objectBytes);
    unpackedBytes += size;
    if (unpackedBytes > most) throw tooLarge(`its history is larger than ${mib(most)} when it is unpacked`, DOWNLOAD_SETTING);
    const chain = size + (entry.base === undefined ? 0 : (chains.get(entry.base) ?? 0));
    if (chain > maxChainBytes)
      throw tooLarge(`the versions of a file that are stored as deltas are larger than ${mib(maxChainBytes)} together`, OBJECT_SETTING);
    chains.set(offset, chain);
    offset += entry.headerBytes + consumed;
    bytesSincePause += entry.size;
    if (index % PAUSE_OBJECTS === 0 || bytesSincePause > PAUSE_BYTES) {
      bytesSincePause = 0;
      onProgress(index, count);
      await setImmediate();
      signal.throwIfAborted();
    }
  }
  if (offset !== end) throw new DamagedError('a pack has bytes after its last object');
  return count;
}

function readCount(pack: Buffer): number {
  if (pack.length < HEADER_BYTES + TRAILER_BYTES || pack.toString('latin1', 0, 4) !== 'PACK' || pack.readUInt32BE(4) !== 2) {
    throw new DamagedError('this is not a pack');
  }
  const count = pack.readUInt32BE(8);
  if (count > MAX_OBJECTS) throw tooLarge(`its history has ${count} objects, and the limit is ${MAX_OBJECTS}`);
  return count;
}

interface Entry {
  readonly size: number;
  readonly isDelta: boolean;
  /** Position of the base of an offset delta. */
  readonly base: number | undefined;
  readonly headerBytes: number;
}

function readEntry(bytes: Buffer, offset: number): Entry {
  let base: number | undefined;
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
  if (kind === OFFSET_DELTA) {
    byte = next();
    let back = byte & 0x7f;
    while (byte >= 0x80) {
      byte = next();
      back = (back + 1) * 128 + (byte & 0x7f);
    }
    if (back <= 0 || back > offset - HEADER_BYTES) throw new DamagedError('a delta names a base outside of its pack');
    base = offset - back;
  } else if (kind === REF_DELTA) at += 20;
  else if (kind === 0 || kind === 5) throw new DamagedError(`an object of the unknown type ${kind}`);
  return { size, isDelta: kind >= OFFSET_DELTA, base, headerBytes: at };
}

/** A delta begins with the sizes of its base and of its result. */
function deltaResultSize(delta: Buffer): number {
  let at = 0;
  let size = 0;
  for (let number = 0; number < 2; number += 1) {
    size = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = delta[at];
      if (byte === undefined) throw new DamagedError('a delta ends within its header');
      at += 1;
      size += (byte & 0x7f) * factor;
      if (byte < 0x80) break;
    }
  }
  return size;
}

/** Node returns this instead of the bytes with `info: true`, which its types do not declare. */
interface Inflated {
  readonly buffer: Buffer;
  readonly engine: { readonly bytesWritten: number };
}

function inflate(rest: Buffer, size: number): { readonly buffer: Buffer; readonly consumed: number } {
  // zlib's overhead is at most a thousandth of the data, and some bytes.
  const input = rest.subarray(0, size + Math.floor(size / 256) + 1024);
  try {
    const options = { info: true, chunkSize: Math.max(64, size + 1), maxOutputLength: size + 1 };
    const { buffer, engine } = inflateSync(input, options) as unknown as Inflated;
    if (buffer.length === size) return { buffer, consumed: engine.bytesWritten };
  } catch (cause) {
    throw new DamagedError('an object cannot be unpacked, or is longer than its header says', { cause });
  }
  throw new DamagedError('an object is shorter than its header says');
}

export function objectTooLarge(size: number, limit: number): Error {
  return tooLarge(`it holds a file of ${mib(size)}, and the limit is ${mib(limit)}`, OBJECT_SETTING);
}
