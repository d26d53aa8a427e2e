import type { Clock, Logger } from '@floe/runtime';

/** Shortest time between two reconnects because of the server's clock. */
const ASK_EVERY_MS = 5 * 60_000;

/** Asks for the server's time when its clock contradicts its own directive: a new connection brings the time, and the directive again. */
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
    logger.warn("the server's clock seems to have been set back; reconnecting");
    reconnect();
  }
}
