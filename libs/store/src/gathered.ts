import { background, narrow } from '@floe/runtime';

interface Waiting<Item, Answer> {
  readonly item: Item;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
}

interface Gathering<Item, Answer> {
  /** The answers are in the order of the items. When it fails, nothing was done. */
  readonly run: (items: readonly Item[]) => Promise<readonly Answer[]>;
  /** So many items are run together. */
  readonly most: number;
  /** So many runs are under way at a time. */
  readonly atOnce: number;
  /** An error that concerns all items, whatever they are: the database does not answer. */
  readonly isOfAll: (error: unknown) => boolean;
}

/**
 * Runs together what is asked for while other runs are under way: one alone waits for nobody, and of thousands hundreds share a
 * transaction. Where one is refused, the others are run without it (`narrow()`).
 */
export class Gathered<Item, Answer> {
  readonly #how: Gathering<Item, Answer>;
  readonly #waiting: Waiting<Item, Answer>[] = [];
  #running = 0;

  constructor(how: Gathering<Item, Answer>) {
    this.#how = how;
  }

  async ask(item: Item): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    this.#waiting.push({ item, resolve, reject });
    // Runs also what comes meanwhile.
    if (this.#running < this.#how.atOnce) background(this.#runAll(), reject);
    return await promise;
  }

  /** Never rejects: whoever asked gets the error. */
  async #runAll(): Promise<void> {
    this.#running += 1;
    while (this.#waiting.length > 0) await this.#run(this.#waiting.splice(0, this.#how.most));
    this.#running -= 1;
  }

  async #run(some: readonly Waiting<Item, Answer>[]): Promise<void> {
    try {
      const refused = await narrow(
        some,
        async (part) => await this.#answer(part),
        (error) => !this.#how.isOfAll(error),
        some.length,
      );
      for (const { item, error } of refused) item.reject(error);
    } catch (error) {
      // Whoever has an answer keeps it.
      for (const { reject } of some) reject(error);
    }
  }

  async #answer(some: readonly Waiting<Item, Answer>[]): Promise<void> {
    const answers = await this.#how.run(some.map(({ item }) => item));
    for (const [index, { resolve, reject }] of some.entries()) {
      const answer = answers[index];
      if (answer === undefined) reject(new RangeError('an item got no answer'));
      else resolve(answer);
    }
  }
}
