import type { ServerNotice } from '@floe/protocol';

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
