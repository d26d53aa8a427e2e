/** What was used last, up to a number of bytes; one value is always kept, however large it is. */
export class ByteCache<Key, Value> {
  readonly #values = new Map<Key, { readonly value: Value; readonly bytes: number }>();
  readonly #maxBytes: number;
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get(key: Key): Value | undefined {
    const found = this.#values.get(key);
    if (found === undefined) return undefined;
    this.#values.delete(key);
    this.#values.set(key, found);
    return found.value;
  }

  set(key: Key, value: Value, bytes: number): void {
    const old = this.#values.get(key);
    if (old !== undefined) this.#bytes -= old.bytes;
    this.#values.delete(key);
    this.#values.set(key, { value, bytes });
    this.#bytes += bytes;
    for (const [first, { bytes: freed }] of this.#values) {
      if (this.#bytes <= this.#maxBytes || this.#values.size === 1) return;
      this.#values.delete(first);
      this.#bytes -= freed;
    }
  }

  clear(): void {
    this.#values.clear();
    this.#bytes = 0;
  }
}
