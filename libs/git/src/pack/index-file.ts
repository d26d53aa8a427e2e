import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { DamagedError } from './damaged.ts';

const HEADER = Buffer.from([0xff, 0x74, 0x4f, 0x63, 0, 0, 0, 2]);
const FANOUT = 8;
const OIDS = FANOUT + 256 * 4;
const LARGE = 0x80000000;

/** An object of a pack, as its index names it. */
export interface IndexEntry {
  readonly oid: Buffer;
  readonly crc: number;
  readonly offset: number;
}

/** Writes the index of a pack (git: gitformat-pack, "Version 2 pack-*.idx files"). */
export function writeIndex(entries: readonly IndexEntry[], packHash: Buffer): Buffer {
  const sorted = entries.toSorted((a, b) => Buffer.compare(a.oid, b.oid));
  const count = sorted.length;
  const large = sorted.filter(({ offset }) => offset >= LARGE);
  const bytes = Buffer.alloc(OIDS + count * 28 + large.length * 8 + 40);
  HEADER.copy(bytes);
  const crcs = OIDS + count * 20;
  const offsets = crcs + count * 4;
  const larges = offsets + count * 4;
  let largeCount = 0;
  const fanout = new Uint32Array(256);
  sorted.forEach(({ oid, crc, offset }, index) => {
    fanout[oid[0] ?? 0] = index + 1;
    oid.copy(bytes, OIDS + index * 20);
    bytes.writeUInt32BE(crc, crcs + index * 4);
    if (offset < LARGE) {
      bytes.writeUInt32BE(offset, offsets + index * 4);
    } else {
      bytes.writeUInt32BE(LARGE + largeCount, offsets + index * 4);
      bytes.writeBigUInt64BE(BigInt(offset), larges + largeCount * 8);
      largeCount += 1;
    }
  });
  let total = 0;
  fanout.forEach((upTo, first) => {
    total = Math.max(total, upTo);
    bytes.writeUInt32BE(total, FANOUT + first * 4);
  });
  packHash.copy(bytes, bytes.length - 40);
  createHash('sha1')
    .update(bytes.subarray(0, -20))
    .digest()
    .copy(bytes, bytes.length - 20);
  return bytes;
}

/** The index of one pack, held in memory: about 32 bytes an object. */
export class PackIndex {
  readonly #bytes: Buffer;
  readonly #count: number;

  constructor(path: string) {
    const bytes = readFileSync(path);
    const isWhole = bytes.length >= OIDS + 40 && bytes.subarray(0, 8).equals(HEADER) && endsWithItsHash(bytes);
    if (!isWhole) throw new DamagedError('the index of a pack is damaged');
    this.#bytes = bytes;
    this.#count = bytes.readUInt32BE(OIDS - 4);
    if (bytes.length < OIDS + this.#count * 28 + 40) throw new DamagedError('the index of a pack is too short');
  }

  /** The last bytes of the pack that it is of. */
  get packHash(): Buffer {
    return this.#bytes.subarray(-40, -20);
  }

  /** Where the object is in the pack. */
  find(oid: string): number | undefined {
    const wanted = Buffer.from(oid, 'hex');
    const first = wanted[0] ?? 0;
    let low = first === 0 ? 0 : this.#bytes.readUInt32BE(FANOUT + (first - 1) * 4);
    let high = this.#bytes.readUInt32BE(FANOUT + first * 4);
    while (low < high) {
      const middle = (low + high) >> 1;
      const order = Buffer.compare(this.#bytes.subarray(OIDS + middle * 20, OIDS + middle * 20 + 20), wanted);
      if (order === 0) return this.#offset(middle);
      if (order < 0) low = middle + 1;
      else high = middle;
    }
    return undefined;
  }

  #offset(position: number): number {
    const offsets = OIDS + this.#count * 24;
    const offset = this.#bytes.readUInt32BE(offsets + position * 4);
    if (offset < LARGE) return offset;
    return Number(this.#bytes.readBigUInt64BE(offsets + this.#count * 4 + (offset - LARGE) * 8));
  }
}

function endsWithItsHash(bytes: Buffer): boolean {
  return createHash('sha1').update(bytes.subarray(0, -20)).digest().equals(bytes.subarray(-20));
}
