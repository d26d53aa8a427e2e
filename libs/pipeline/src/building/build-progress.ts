import type { HostName } from '@floe/model';
import type { BuildProgress, OnPublishing } from '@floe/nix';
import type { BuildUnderWay, Revision } from '@floe/store';
import { bestEffort } from '../best-effort.ts';
import type { PipelineDeps } from '../deps.ts';

/** Nothing that takes longer is silent; and no more is written than this often. */
const EVERY_MS = 2_000;
/** Of those that are published together. */
const SHOWN_AT_ONCE = 4;

/** What is built. */
type BuildSubject = { readonly host: HostName } | { readonly check: string };

/** Tells people which builds and publications of a revision run, and what they print. Written at most every two seconds, and when all have ended. */
export class BuildsUnderWay implements AsyncDisposable {
  readonly #deps: Pick<PipelineDeps, 'store' | 'clock' | 'logger'>;
  readonly #revision: Revision;
  readonly #running = new Map<string, BuildUnderWay>();
  readonly #ended = new AbortController();
  readonly #telling: Promise<void>;
  #isNews = false;
  #hasTold = false;

  constructor(deps: Pick<PipelineDeps, 'store' | 'clock' | 'logger'>, revision: Revision) {
    this.#deps = deps;
    this.#revision = revision;
    this.#telling = this.#tellAgainAndAgain();
  }

  /** Runs the build of a host or a check, which says how far it is by the function that it gets. */
  async during<Result>(what: BuildSubject, build: (onProgress: (progress: BuildProgress) => void) => Promise<Result>): Promise<Result> {
    const since = this.#deps.clock.now();
    const key = JSON.stringify(what);
    const note = ({ derivation, line }: BuildProgress): void => {
      this.#running.set(key, { ...what, since, derivation, line });
      this.#isNews = true;
    };
    note({ derivation: undefined, line: undefined });
    try {
      return await build(note);
    } finally {
      this.#running.delete(key);
      this.#isNews = true;
    }
  }

  /** Publishes hosts together, which says what it does by the function that it gets. Of many hosts the first are shown. */
  async publishing<Result>(hosts: readonly HostName[], publish: (onProgress: OnPublishing) => Promise<Result>): Promise<Result> {
    const since = this.#deps.clock.now();
    const shown = hosts.slice(0, SHOWN_AT_ONCE);
    const note = (what: string): void => {
      for (const host of shown) this.#running.set(host, { host, since, derivation: undefined, line: `publishing: ${what}` });
      this.#isNews = true;
    };
    try {
      return await publish(note);
    } finally {
      for (const host of shown) this.#running.delete(host);
      this.#isNews = true;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort();
    await this.#telling;
    if (this.#hasTold) await this.#tell();
  }

  async #tellAgainAndAgain(): Promise<void> {
    const { signal } = this.#ended;
    while (!signal.aborted) {
      await this.#deps.clock.sleep(EVERY_MS, signal);
      if (!signal.aborted && this.#isNews && (this.#hasTold || this.#running.size > 0)) await this.#tell();
    }
  }

  async #tell(): Promise<void> {
    const { store, logger } = this.#deps;
    this.#isNews = false;
    this.#hasTold = true;
    const { repositoryId, id } = this.#revision;
    await bestEffort(
      logger,
      'telling which builds run',
      undefined,
      async () => await store.revisions.noteBuilds(repositoryId, id, [...this.#running.values()]),
    );
  }
}
