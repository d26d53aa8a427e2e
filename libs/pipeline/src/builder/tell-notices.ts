import type { Clock, Logger } from '@floe/runtime';
import type { PlainStore } from '@floe/store';

/** Of a trouble that has no host or revision: `table audit_log` → `TABLE_AUDIT_LOG`. */
export function noticeCode(subject: string): string {
  return subject.toUpperCase().replaceAll(/\W+/g, '_').slice(0, 64);
}

/** Well within the time for which they hold. */
const AGAIN_MS = 20_000;
const LOOK_MS = 1_000;

export interface NoticeTellerDeps {
  readonly store: { readonly repositories: Pick<PlainStore['repositories'], 'tellNotices'> };
  readonly clock: Pick<Clock, 'sleep' | 'monotonic'>;
  readonly logger: Logger;
  readonly repositoryId: string;
  /** Its name in leases. */
  readonly owner: string;
  /** Its name for people. */
  readonly name: string;
}

/** The notices of a builder that is a process of its own: it has no page, so the server shows them. */
export class NoticeTeller {
  readonly #deps: NoticeTellerDeps;
  readonly #notices = new Map<string, string>();
  #isNews = true;

  constructor(deps: NoticeTellerDeps) {
    this.#deps = deps;
  }

  /** Sets a notice, or ends it (undefined). */
  tell(code: string, message: string | undefined): void {
    if (this.#notices.get(code) === message) return;
    if (message === undefined) {
      this.#notices.delete(code);
      this.#deps.logger.info('a notice is over', { code });
    } else {
      this.#notices.set(code, message);
      this.#deps.logger.warn('a notice', { code, notice: message });
    }
    this.#isNews = true;
  }

  /** Tells them until `signal` aborts, when they end. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps;
    let toldAt = clock.monotonic();
    while (!signal.aborted) {
      const isDue = this.#notices.size > 0 && clock.monotonic() - toldAt >= AGAIN_MS;
      if ((this.#isNews || isDue) && (await this.#write())) toldAt = clock.monotonic();
      await clock.sleep(LOOK_MS, signal);
    }
    this.#notices.clear();
    await this.#write();
  }

  /** False: the database did not take it, and it is tried again. */
  async #write(): Promise<boolean> {
    const { store, repositoryId, owner, name, logger } = this.#deps;
    this.#isNews = false;
    const notices = [...this.#notices].map(([code, message]) => ({ code, message }));
    try {
      await store.repositories.tellNotices(repositoryId, { owner, name, notices });
      return true;
    } catch (error) {
      logger.debug('the notices could not be told', { error });
      this.#isNews = true;
      return false;
    }
  }
}
