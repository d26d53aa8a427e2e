import type { Clock } from '@floe/runtime';

export interface ExportLimits {
  /** How many are sent at a time, each to another token. */
  readonly atOnce: number;
  /** A reader that was slower than `minBytesPerSecond` on the whole, and for longer than this, gives its turn to the next who asks. */
  readonly graceMs: number;
  readonly minBytesPerSecond: number;
}

/** What a modest line takes: 100 MB in less than two hours. */
const LIMITS: ExportLimits = { atOnce: 3, graceMs: 60_000, minBytesPerSecond: 16 * 1024 };

/** One export that is being sent. Disposing it makes room for another one. */
export interface ExportTurn extends Disposable {
  readonly isOver: boolean;
  /** So much is offered to the reader: from here on it is waited for. */
  offer(bytes: number): void;
  /** The reader took it: from here on the server is waited for. */
  taken(): void;
}

interface Turn {
  readonly token: string;
  readonly cut: () => void;
  isOver: boolean;
  offeredBytes: number;
  takenBytes: number;
  waitedMs: number;
  /** Since when the reader is waited for. */
  since: number | undefined;
}

/** Who may be sent an export: it reads all that there is, and takes as long as its reader does. */
export class ExportTurns {
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #limits: ExportLimits;
  readonly #turns = new Set<Turn>();

  constructor(clock: Pick<Clock, 'monotonic'>, limits = LIMITS) {
    this.#clock = clock;
    this.#limits = limits;
  }

  /** A turn for the token of this name, or a text: why there is none now. `cut` is called when the turn goes to somebody else. */
  take(token: string, cut: () => void): ExportTurn | string {
    const mine = this.#all().find((each) => each.token === token);
    if (mine !== undefined && !this.#isSlow(mine)) return 'an export of this token is being sent already: wait until it ends, or end it';
    if (mine !== undefined) this.#giveAway(mine);
    if (this.#turns.size >= this.#limits.atOnce) {
      const slow = this.#all().find((each) => this.#isSlow(each));
      if (slow === undefined) return `${this.#limits.atOnce} exports are being sent, and there are no more at a time: try again in a minute`;
      this.#giveAway(slow);
    }
    const turn: Turn = { token, cut, isOver: false, offeredBytes: 0, takenBytes: 0, waitedMs: 0, since: this.#clock.monotonic() };
    this.#turns.add(turn);
    return {
      get isOver() {
        return turn.isOver;
      },
      offer: (bytes) => {
        turn.offeredBytes += bytes;
        turn.since = this.#clock.monotonic();
      },
      taken: () => {
        turn.takenBytes = turn.offeredBytes;
        turn.waitedMs = this.#waitedMs(turn);
        turn.since = undefined;
      },
      [Symbol.dispose]: () => void this.#turns.delete(turn),
    };
  }

  #all(): readonly Turn[] {
    return [...this.#turns];
  }

  #waitedMs({ waitedMs, since }: Turn): number {
    return waitedMs + (since === undefined ? 0 : this.#clock.monotonic() - since);
  }

  #isSlow(turn: Turn): boolean {
    const waitedMs = this.#waitedMs(turn);
    return waitedMs > this.#limits.graceMs && turn.takenBytes < (waitedMs / 1000) * this.#limits.minBytesPerSecond;
  }

  #giveAway(turn: Turn): void {
    turn.isOver = true;
    this.#turns.delete(turn);
    turn.cut();
  }
}
