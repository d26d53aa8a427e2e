import type { FetchProgress, GitMirror } from '@floe/git';
import type { RepositoryView } from '@floe/protocol';
import type { Clock } from '@floe/runtime';

/** A shorter fetch is not shown; also the interval of the updates. */
const QUIET_MS = 2_000;
const MEGABYTE = 1_000_000;

/** Shows the progress of a long fetch, such as the first one of a large repository. */
export class FetchWatch {
  readonly #clock: Clock;
  readonly #onNews: () => void;
  #fetch: { readonly isFirst: boolean; readonly since: number; progress: FetchProgress | undefined } | undefined;
  #shown: RepositoryView['fetching'] = null;

  constructor(clock: Clock, onNews: () => void) {
    this.#clock = clock;
    this.#onNews = onNews;
  }

  /** The message to show now. */
  get shown(): RepositoryView['fetching'] {
    return this.#shown;
  }

  noteProgress(progress: FetchProgress): void {
    if (this.#fetch !== undefined) this.#fetch.progress = progress;
  }

  /** The mirror, with its fetches watched. */
  watching(mirror: GitMirror): GitMirror {
    return {
      ...mirror,
      fetch: async (accepted, signal) => await this.#watch(accepted === undefined, async () => await mirror.fetch(accepted, signal)),
    };
  }

  async #watch<Result>(isFirst: boolean, fetch: () => Promise<Result>): Promise<Result> {
    this.#fetch = { isFirst, since: this.#clock.now(), progress: undefined };
    const timer = setInterval(() => this.#show(), QUIET_MS);
    try {
      return await fetch();
    } finally {
      clearInterval(timer);
      this.#fetch = undefined;
      this.#show();
    }
  }

  #show(): void {
    const message = this.#fetch === undefined ? undefined : describe(this.#fetch);
    if (message === this.#shown?.message) return;
    this.#shown = this.#fetch === undefined || message === undefined ? null : { message, since: this.#fetch.since };
    this.#onNews();
  }
}

function describe({ isFirst, progress }: { readonly isFirst: boolean; readonly progress: FetchProgress | undefined }): string {
  const what = isFirst ? 'fetching the repository for the first time' : 'fetching the repository';
  if (progress === undefined || progress.receivedBytes === 0) return `${what}: nothing was received yet`;
  const received = `${(progress.receivedBytes / MEGABYTE).toLocaleString('en', { maximumFractionDigits: progress.receivedBytes < 10 * MEGABYTE ? 1 : 0 })} MB`;
  if (progress.totalObjects === 0) return `${what}: ${received}`;
  return `${what}: ${received}, ${progress.objects.toLocaleString('en')} of ${progress.totalObjects.toLocaleString('en')} objects`;
}
