import type { ServerNotice } from '@floe/protocol';
import type { Clock, Logger } from '@floe/runtime';
import type { BuildersNotices } from '@floe/store';

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

  /** Notices with these codes in place of all whose code begins with `prefix`. True when that is a change. */
  replace(prefix: string, messages: ReadonlyMap<string, string>, at: number): boolean {
    const before = JSON.stringify(this.list());
    for (const code of this.#notices.keys()) if (code.startsWith(prefix) && !messages.has(code)) this.set(code, undefined, at);
    for (const [code, message] of messages) this.tell(code, message, at);
    return JSON.stringify(this.list()) !== before;
  }

  list(): ServerNotice[] {
    return [...this.#notices.values()];
  }
}

/** The codes of notices that builders tell begin with it. */
const OF_BUILDERS = 'FLOE_BUILDER_';

/** Shows what builders that are processes of their own have to tell, each with the builder's name, in place of what they told before. */
export function tellOfBuilders({ notices, clock, onNews }: Omit<NoticeDeps, 'logger'>, told: readonly BuildersNotices[]): void {
  const messages = new Map<string, string>();
  for (const { name, notices: own } of told)
    for (const { code, message } of own) {
      const key = `${OF_BUILDERS}${code}`;
      messages.set(key, [messages.get(key), `floe-builder on ${name}: ${message}`].filter((each) => each !== undefined).join('; '));
    }
  if (notices.replace(OF_BUILDERS, messages, clock.now())) onNews();
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
