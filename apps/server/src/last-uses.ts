import { background, type Clock, type Logger } from '@floe/runtime';

/** The store writes no more often either. */
const EVERY_MS = 60_000;
/** The least recent ones are forgotten first: then they are only written a little more often. */
const MAX_NAMES = 1_000;

/** Notes when tokens were used: beside the request, never before its answer, and once a minute for each token. */
export class LastUses {
  readonly #write: (name: string) => Promise<void>;
  readonly #deps: { readonly clock: Pick<Clock, 'monotonic'>; readonly logger: Logger };
  readonly #notedAt = new Map<string, number>();

  constructor(write: (name: string) => Promise<void>, deps: { readonly clock: Pick<Clock, 'monotonic'>; readonly logger: Logger }) {
    this.#write = write;
    this.#deps = deps;
  }

  note(name: string): void {
    const now = this.#deps.clock.monotonic();
    const notedAt = this.#notedAt.get(name);
    if (notedAt !== undefined && now - notedAt < EVERY_MS) return;
    this.#notedAt.delete(name);
    this.#notedAt.set(name, now);
    const [oldest] = this.#notedAt.keys();
    if (this.#notedAt.size > MAX_NAMES && oldest !== undefined) this.#notedAt.delete(oldest);
    background(this.#write(name), (error) => this.#deps.logger.debug('the use of a token was not noted', { token: name, error }));
  }
}
