import { DOWNLOAD_SETTING, MAX_FILES, MAX_TREE_DEPTH, mib, tooLarge, UNPACKED_TREE_RATIO } from './limits.ts';

/**
 * Counts what a commit is put together of, by the limits that its inspection has, before it is written. Each method throws `REPOSITORY_TOO_LARGE`
 * beyond one. `what`: of which commit, for the message.
 */
export class TreeBudget {
  readonly #maxBytes: number;
  readonly #what: string;
  #files = 0;
  #folders = 0;
  #bytes = 0;

  constructor(maxDownloadBytes: number, what: string) {
    this.#maxBytes = maxDownloadBytes * UNPACKED_TREE_RATIO;
    this.#what = what;
  }

  /** A folder; the root has the depth 1. */
  folder(depth: number): void {
    this.#folders += 1;
    if (depth > MAX_TREE_DEPTH) throw tooLarge(`${this.#what} it has folders in more than ${MAX_TREE_DEPTH} folders`);
    if (this.#folders > MAX_FILES) throw tooLarge(`${this.#what} it has more than ${MAX_FILES} folders`);
  }

  file(): void {
    this.#files += 1;
    if (this.#files > MAX_FILES) throw tooLarge(`${this.#what} it has more than ${MAX_FILES} files`);
  }

  /** The size of a file or folder listing, unpacked. */
  bytes(count: number): void {
    this.#bytes += count;
    if (this.#bytes > this.#maxBytes) throw tooLarge(`${this.#what} its files are larger than ${mib(this.#maxBytes)} together`, DOWNLOAD_SETTING);
  }
}
