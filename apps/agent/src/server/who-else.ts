import type { Clock } from '@floe/runtime';
import type { WhoAnswers } from './network.ts';

/** What was found out counts for so long, in ms. */
const KEEP_MS = 60_000;
/** Who asks for a status does not wait longer than this, in ms: the answer is for the next one. */
const WAIT_MS = 2_000;

export interface WhoElseDeps {
  readonly connection: { readonly isWelcomed: boolean; readonly stranger: string | undefined };
  readonly whoAnswers: (signal: AbortSignal) => Promise<WhoAnswers>;
  readonly clock: Pick<Clock, 'sinceBoot' | 'sleep'>;
}

/**
 * Who answers in the server's place, for people at the machine. Many portals drop what is encrypted, so the connection alone does not know; it is
 * asked for only while somebody looks.
 */
export class WhoElse {
  readonly #deps: WhoElseDeps;
  #found: { readonly at: number; readonly answer: Promise<WhoAnswers> } | undefined;

  constructor(deps: WhoElseDeps) {
    this.#deps = deps;
  }

  /** In words; null: nobody, or it is not known (yet). */
  async find(signal: AbortSignal): Promise<string | null> {
    const { connection, clock } = this.#deps;
    if (connection.isWelcomed) {
      this.#found = undefined;
      return null;
    }
    if (connection.stranger !== undefined) return connection.stranger;
    const now = clock.sinceBoot();
    if (this.#found === undefined || now - this.#found.at >= KEEP_MS) this.#found = { at: now, answer: this.#deps.whoAnswers(signal) };
    const ended = new AbortController();
    const late = clock.sleep(WAIT_MS, AbortSignal.any([signal, ended.signal])).then(() => undefined);
    const answer = await Promise.race([this.#found.answer, late]);
    ended.abort();
    return answer?.kind === 'other' ? answer.who : null;
  }
}
