import type { ServerNotice } from '@floe/protocol';
import type { Clock, Logger } from '@floe/runtime';

/** What is wrong with the server itself, for people: each by its code, from when it was found until it is over. */
export class Notices {
  readonly #notices = new Map<string, ServerNotice>();

  /** Undefined: it is over. True when there is news; what is said of one that lasts stays as it was. */
  set(code: string, message: string | undefined, at: number): boolean {
    if (this.#notices.has(code) === (message !== undefined)) return false;
    if (message === undefined) this.#notices.delete(code);
    else this.#notices.set(code, { code, message, since: at });
    return true;
  }

  /** As {@link set}, for one whose words change while it lasts. */
  tell(code: string, message: string | undefined, at: number): void {
    const before = this.#notices.get(code);
    if (before === undefined || message === undefined) this.set(code, message, at);
    else this.#notices.set(code, { ...before, message });
  }

  list(): ServerNotice[] {
    return [...this.#notices.values()];
  }
}

export interface NoticeDeps {
  readonly notices: Notices;
  readonly clock: Pick<Clock, 'now'>;
  readonly logger: Logger;
  /** The notices are others than before. */
  readonly onNews: () => void;
}

/** Sets a notice, or ends it (undefined); when that is news, it is logged, and told to who looks. */
export function tellNotice({ notices, clock, logger, onNews }: NoticeDeps, code: string, message: string | undefined): void {
  if (!notices.set(code, message, clock.now())) return;
  if (message === undefined) logger.info('a notice is over', { code });
  else logger.warn('a notice', { code, notice: message });
  onNews();
}
