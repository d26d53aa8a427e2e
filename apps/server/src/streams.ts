/** Event streams per credential: a user has some tabs open. */
const MAX_PER_CREDENTIAL = 20;
const MAX_STREAMS = 500;

/** Counts the open event streams. */
export class StreamCount {
  readonly #open = new Map<string, number>();
  #total = 0;

  /** Returns a function that ends the stream's count, or a text: why there may be no more. */
  open(secret: string): Disposable | string {
    const mine = this.#open.get(secret) ?? 0;
    if (mine >= MAX_PER_CREDENTIAL) return `${MAX_PER_CREDENTIAL} event streams of this credential are open: close one`;
    if (this.#total >= MAX_STREAMS) return `${MAX_STREAMS} event streams are open: try again later`;
    this.#open.set(secret, mine + 1);
    this.#total += 1;
    return {
      [Symbol.dispose]: () => {
        const left = (this.#open.get(secret) ?? 1) - 1;
        if (left === 0) this.#open.delete(secret);
        else this.#open.set(secret, left);
        this.#total -= 1;
      },
    };
  }
}
