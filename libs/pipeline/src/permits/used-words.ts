import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { readFileIfPresent, writeFileDurably } from '@floe/runtime';

/** The directive that a word is used for. */
export interface WordUse {
  readonly machineId: string;
  readonly epoch: number;
}

/**
 * What each word of an operator was used for first, a file for each in a folder that this process alone writes to. A host connects again and
 * again before it is back, and each time needs another permit: the word is good for the same directive then, and for no other.
 */
export class UsedWords {
  readonly #dir: string;
  #last: Promise<unknown> = Promise.resolve();

  constructor(dir: string) {
    this.#dir = dir;
  }

  /** Uses the word; false: it was used for something else. Of two at once, the first counts. */
  async use(statement: string, to: WordUse): Promise<boolean> {
    const used = this.#last.then(async () => await this.#use(statement, to));
    this.#last = used.catch(() => undefined);
    return await used;
  }

  async #use(statement: string, { machineId, epoch }: WordUse): Promise<boolean> {
    const path = join(this.#dir, createHash('sha256').update(statement).digest('hex'));
    const text = `${machineId} ${epoch}\n`;
    const before = await readFileIfPresent(path);
    if (before !== undefined) return before === text;
    await writeFileDurably(path, text);
    return true;
  }
}
