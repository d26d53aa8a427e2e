const FIRST_CAPACITY = 4096;
const NEWLINE = 0x0a;

/**
 * Keeps the last `limit` bytes of a stream in a ring buffer that grows up to the limit, so that many small chunks cost no more
 * than few large ones.
 */
export class Tail {
  readonly #limit: number;
  #buffer = Buffer.alloc(0);
  #end = 0;
  /** The number of all bytes, including those that are no longer kept. */
  #total = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get isCut(): boolean {
    return this.#total > this.#limit;
  }

  push(chunk: Buffer): void {
    const isFirstCut = !this.isCut;
    this.#total += chunk.length;
    if (isFirstCut && this.#total <= this.#limit) {
      this.#reserve(this.#total);
      this.#end += chunk.copy(this.#buffer, this.#end);
      return;
    }
    this.#reserve(this.#limit);
    let rest = chunk.subarray(-this.#limit || chunk.length);
    while (rest.length > 0) {
      if (this.#end === this.#buffer.length) this.#end = 0;
      const copied = rest.copy(this.#buffer, this.#end);
      this.#end += copied;
      rest = rest.subarray(copied);
    }
  }

  text(encoding: 'utf8' | 'latin1' = 'utf8'): string {
    if (!this.isCut) return this.#buffer.toString(encoding, 0, this.#end);
    const kept = Buffer.concat([this.#buffer.subarray(this.#end), this.#buffer.subarray(0, this.#end)]);
    if (encoding === 'latin1') return kept.toString(encoding);
    // The cut may be within a character.
    let start = 0;
    while (start < 3 && start < kept.length && ((kept[start] ?? 0) & 0xc0) === 0x80) start++;
    return kept.toString('utf8', start);
  }

  #reserve(size: number): void {
    if (size <= this.#buffer.length) return;
    const grown = Buffer.alloc(Math.min(this.#limit, Math.max(size, 2 * this.#buffer.length, FIRST_CAPACITY)));
    this.#buffer.copy(grown, 0, 0, this.#end);
    this.#buffer = grown;
  }
}

/** Splits a stream into lines. Of a line longer than `maxBytes` only the beginning is passed on. */
export class LineSplitter {
  readonly #maxBytes: number;
  readonly #onLine: (line: string) => void;
  readonly #partial: Buffer;
  #length = 0;
  #isOpen = false;

  constructor(maxBytes: number, onLine: (line: string) => void) {
    this.#maxBytes = maxBytes;
    this.#onLine = onLine;
    this.#partial = Buffer.alloc(maxBytes);
  }

  push(chunk: Buffer): void {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      this.#take(chunk.subarray(start, end));
      this.end();
      start = end + 1;
    }
    if (start < chunk.length) this.#take(chunk.subarray(start));
  }

  /** Passes on the rest after the last newline as a line. */
  end(): void {
    if (!this.#isOpen) return;
    const line = this.#partial.toString('utf8', 0, this.#length);
    this.#length = 0;
    this.#isOpen = false;
    this.#onLine(line);
  }

  #take(bytes: Buffer): void {
    this.#isOpen = true;
    this.#length += bytes.copy(this.#partial, this.#length, 0, Math.min(bytes.length, this.#maxBytes - this.#length));
  }
}
