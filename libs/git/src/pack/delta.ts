import { DamagedError } from './damaged.ts';

/** The sizes at the beginning of a delta: of what it is applied to, and of what comes out. */
export function readDeltaSizes(delta: Buffer): { readonly baseSize: number; readonly resultSize: number; readonly start: number } {
  const base = readSize(delta, 0);
  const result = readSize(delta, base.next);
  return { baseSize: base.value, resultSize: result.value, start: result.next };
}

function readSize(bytes: Buffer, from: number): { value: number; next: number } {
  let value = 0;
  for (let index = from, factor = 1; ; index += 1, factor *= 128) {
    const byte = bytes[index];
    if (byte === undefined || factor > Number.MAX_SAFE_INTEGER) throw new DamagedError('a delta has no size');
    value += (byte & 0x7f) * factor;
    if (byte < 0x80) return { value, next: index + 1 };
  }
}

/** Applies a delta (git: gitformat-pack, "Deltified representation"). Allocates what the delta says comes out. */
export function applyDelta(base: Buffer, delta: Buffer): Buffer {
  const { baseSize, resultSize, start } = readDeltaSizes(delta);
  if (baseSize !== base.length) throw new DamagedError('a delta is of another base');
  const result = Buffer.allocUnsafe(resultSize);
  let written = 0;
  let at = start;
  while (at < delta.length) {
    const command = delta[at] ?? 0;
    at += 1;
    if (command === 0) throw new DamagedError('a delta has an unknown command');
    if (command < 0x80) {
      if (at + command > delta.length || written + command > resultSize) throw new DamagedError('a delta writes beyond its end');
      delta.copy(result, written, at, at + command);
      at += command;
      written += command;
      continue;
    }
    let offset = 0;
    let size = 0;
    for (let bit = 0; bit < 7; bit += 1) {
      if ((command & (1 << bit)) === 0) continue;
      const byte = delta[at];
      if (byte === undefined) throw new DamagedError('a delta ends within a command');
      at += 1;
      if (bit < 4) offset += byte * 2 ** (8 * bit);
      else size += byte * 2 ** (8 * (bit - 4));
    }
    if (size === 0) size = 0x10000;
    if (offset + size > base.length || written + size > resultSize) throw new DamagedError('a delta copies beyond an end');
    base.copy(result, written, offset, offset + size);
    written += size;
  }
  if (written !== resultSize) throw new DamagedError('a delta gives less than it says');
  return result;
}
