/** Event streams of one token, with all sessions that were made of it: a user has some tabs open. */
const MAX_PER_TOKEN = 20;
const MAX_STREAMS = 500;

/** Counts the open event streams. */
export class StreamCount {
  readonly #open = new Map<string, number>();
  #total = 0;

  /** `token`: its name. Returns what ends the stream's count, or a text: why there may be no more. */
  open(token: string): Disposable | string {
    const mine = this.#open.get(token) ?? 0;
    if (mine >= MAX_PER_TOKEN) return `${MAX_PER_TOKEN} event streams of this token are open: close one`;
    if (this.#total >= MAX_STREAMS) return `${MAX_STREAMS} event streams are open: try again later`;
    this.#open.set(token, mine + 1);
    this.#total += 1;
    return {
      [Symbol.dispose]: () => {
        const left = (this.#open.get(token) ?? 1) - 1;
        if (left === 0) this.#open.delete(token);
        else this.#open.set(token, left);
        this.#total -= 1;
      },
    };
  }
}
