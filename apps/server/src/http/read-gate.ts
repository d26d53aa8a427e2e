import { FairGate, type Clock, type FairGateLimits } from '@floe/runtime';
import type { HttpBindings } from '@hono/node-server';
import type { Context } from 'hono';
import { refuse } from '../http-error.ts';
import { cutAnswer } from './cut-answer.ts';

export interface ReadLimits extends FairGateLimits {
  /** How long a request waits for its turn. */
  readonly patienceMs: number;
  /** An answer that is being sent for longer than this is cut when somebody else waits for its place. */
  readonly lateMs: number;
}

/** A hundred commits of a thousand hosts are some 90 MB while they are put together and sent. */
const LIMITS: ReadLimits = { places: 8, placesOfGroup: 2, waiting: 400, waitingOfGroup: 50, patienceMs: 10_000, lateMs: 60_000 };

/** Who reads: the name of a token, and the secret that was shown, by which those who share the token take turns. */
export interface Reader {
  readonly token: string;
  readonly secret: string;
}

interface Sending {
  readonly token: string;
  readonly since: number;
  readonly cut: () => void;
}

/**
 * Limits how many answers are put together at a time, of one token and of all. Each counts until it is sent: it is in memory for as long as its
 * reader takes.
 */
export class ReadGate {
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #limits: ReadLimits;
  readonly #gate: FairGate;
  /** The oldest first. */
  readonly #sending = new Set<Sending>();

  constructor(clock: Pick<Clock, 'monotonic'>, limits = LIMITS) {
    this.#clock = clock;
    this.#limits = limits;
    this.#gate = new FairGate(limits);
  }

  /** Answers by `answer` when it is the reader's turn, or refuses. */
  async pass<Answer>(c: Context, reader: Reader, answer: () => Promise<Answer>): Promise<Answer | Response> {
    const gone = new AbortController();
    // Without a port (`app.request`) there is no connection.
    const outgoing = (c.env as Partial<HttpBindings> | undefined)?.outgoing;
    if (outgoing?.destroyed === true) gone.abort();
    outgoing?.once('close', () => gone.abort());
    const place = await this.#enter(reader, gone.signal);
    if (place === undefined) return this.#refuse(c, reader);
    try {
      return await answer();
    } finally {
      if (outgoing === undefined || gone.signal.aborted) place[Symbol.dispose]();
      else this.#countUntil(gone.signal, place, { token: reader.token, since: this.#clock.monotonic(), cut: () => cutAnswer(c) });
    }
  }

  async #enter({ token, secret }: Reader, gone: AbortSignal): Promise<Disposable | undefined> {
    this.#cutLate(token);
    const patience = new AbortController();
    const giveUp = (): void => patience.abort();
    const timer = setTimeout(giveUp, this.#limits.patienceMs);
    gone.addEventListener('abort', giveUp);
    if (gone.aborted) giveUp();
    try {
      const place = await this.#gate.enter(token, secret, patience.signal);
      return typeof place === 'string' ? undefined : place;
    } finally {
      clearTimeout(timer);
      gone.removeEventListener('abort', giveUp);
    }
  }

  #countUntil(gone: AbortSignal, place: Disposable, sending: Sending): void {
    this.#sending.add(sending);
    gone.addEventListener('abort', () => {
      this.#sending.delete(sending);
      place[Symbol.dispose]();
    });
  }

  /** Makes room for one who would wait. */
  #cutLate(token: string): void {
    const isOwn = this.#isFull(token);
    if (!isOwn && this.#gate.taken < this.#limits.places) return;
    const now = this.#clock.monotonic();
    const late = [...this.#sending].find((each) => now - each.since > this.#limits.lateMs && (!isOwn || each.token === token));
    late?.cut();
  }

  #isFull(token: string): boolean {
    return this.#gate.takenOf(token) >= this.#limits.placesOfGroup;
  }

  #refuse(c: Context, { token }: Reader): Response {
    c.header('retry-after', '5');
    const { places, placesOfGroup } = this.#limits;
    return this.#isFull(token)
      ? refuse(
          c,
          429,
          'READS_TOO_MANY',
          `${placesOfGroup} answers to this token are put together or sent, and there are no more at a time: ask one after another, and read what comes`,
        )
      : refuse(c, 503, 'READS_TOO_MANY', `${places} answers are put together or sent, and there are no more at a time: try again`);
  }
}
