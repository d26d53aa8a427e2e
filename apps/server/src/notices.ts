import type { ServerNotice } from '@floe/protocol';
import type { Clock, Logger } from '@floe/runtime';

/** Problems of the server itself, for people: by code, from detection to end. */
export class Notices {
  readonly #notices = new Map<string, ServerNotice>();

  /** Undefined ends it. True when that is a change; the message of a lasting problem stays the same. */
  set(code: string, message: string | undefined, at: number): boolean {
    if (this.#notices.has(code) === (message !== undefined)) return false;
    if (message === undefined) this.#notices.delete(code);
    else this.#notices.set(code, { code, message, since: at });
    return true;
  }

  /** As {@link set}, for a notice whose message changes while it lasts. */
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
  /** True when the notices changed. */
  readonly onNews: () => void;
}

/** Sets a notice, or ends it (undefined). A change is logged and published. */
export function tellNotice({ notices, clock, logger, onNews }: NoticeDeps, code: string, message: string | undefined): void {
  if (!notices.set(code, message, clock.now())) return;
  if (message === undefined) logger.info('a notice is over', { code });
  else logger.warn('a notice', { code, notice: message });
  onNews();
}
