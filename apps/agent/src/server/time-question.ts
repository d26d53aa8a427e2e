import type { Clock, Logger } from '@floe/runtime';

/** A server whose clock contradicts its own directives is asked for the time no more often than this. */
const ASK_EVERY_MS = 5 * 60_000;

/** Asks for the server's time: a new connection brings it, and the directive once more. */
export class TimeQuestion {
  readonly #deps: { readonly clock: Clock; readonly logger: Logger; readonly reconnect: () => void };
  #askedAt = Number.NEGATIVE_INFINITY;

  constructor(deps: { readonly clock: Clock; readonly logger: Logger; readonly reconnect: () => void }) {
    this.#deps = deps;
  }

  ask(): void {
    const { clock, logger, reconnect } = this.#deps;
    const now = clock.monotonic();
    if (now - this.#askedAt < ASK_EVERY_MS) return;
    this.#askedAt = now;
    logger.warn("the server's clock seems to have been set back; connecting anew");
    reconnect();
  }
}
