import type { HostName } from '@floe/model';
import { TokenBucket, type Clock } from '@floe/runtime';
import type { AgentSocket } from './agent-socket.ts';

/** Messages of one host. Those above the limit are read later and not refused, so that nothing is lost. */
const HOST_MESSAGES = { burst: 400, perSecond: 40 } as const;
/**
 * How often one host is admitted: each time costs a transaction, a steering pass, and an update of all watchers. A host that
 * comes more often (an agent that crashes and is restarted) waits, and its waits do not add up.
 */
const HOST_HELLOS = { burst: 20, perSecond: 0.5 } as const;
/** A message costs one token, plus one for each of this many characters. */
const CHARACTERS_PER_TOKEN = 4_096;
/** Unstored reports of one host. */
const MAX_HELD_REPORTS = 64;
/** Unstored reports of all hosts, in characters: they wait in memory while the database does not answer. */
const MAX_HELD_CHARACTERS = 64 * 1024 * 1024;

interface Budget {
  readonly messages: TokenBucket;
  readonly hellos: TokenBucket;
  heldReports: number;
}

/** The limits of what hosts may cost the server, each and together. */
export class HostBudgets {
  readonly #clock: Clock;
  readonly #budgets = new Map<HostName, Budget>();
  readonly #waiting = new Set<() => void>();
  #heldCharacters = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Returns how long the host must wait before its message is handled, in ms. A new connection does not reset it. */
  charge(host: HostName, characters: number): number {
    return this.#of(host).messages.charge(1 + Math.floor(characters / CHARACTERS_PER_TOKEN));
  }

  /** Waits until the host may be admitted again, or until its connection begins to close. */
  async admitHello(host: HostName, wire: Pick<AgentSocket, 'sleep' | 'isOpen'>): Promise<void> {
    const { hellos } = this.#of(host);
    while (wire.isOpen && !hellos.tryTake()) await wire.sleep(1000 / HOST_HELLOS.perSecond / 4);
  }

  /** Waits until there is room for a report of the host, or until its connection begins to close. */
  async admitReport(host: HostName, characters: number, wire: Pick<AgentSocket, 'isOpen' | 'closing'>): Promise<void> {
    while (wire.isOpen && !this.#hasRoom(host, characters)) {
      const signal = wire.closing;
      await new Promise<void>((resolve) => {
        const go = (): void => {
          this.#waiting.delete(go);
          signal.removeEventListener('abort', go);
          resolve();
        };
        this.#waiting.add(go);
        signal.addEventListener('abort', go, { once: true });
      });
    }
  }

  /** Counts a report as in memory until the returned function is called. */
  holdReport(host: HostName, characters: number): () => void {
    const budget = this.#of(host);
    budget.heldReports += 1;
    this.#heldCharacters += characters;
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      budget.heldReports -= 1;
      this.#heldCharacters -= characters;
      for (const go of this.#waiting) go();
    };
  }

  /** Hosts that are not connected and have no debt need no entry. */
  forgetIdle(isConnected: (host: HostName) => boolean): void {
    for (const [host, { messages, hellos, heldReports }] of this.#budgets)
      if (heldReports === 0 && messages.isFull && hellos.isFull && !isConnected(host)) this.#budgets.delete(host);
  }

  #hasRoom(host: HostName, characters: number): boolean {
    return this.#of(host).heldReports < MAX_HELD_REPORTS && this.#heldCharacters + characters <= MAX_HELD_CHARACTERS;
  }

  #of(host: HostName): Budget {
    const found = this.#budgets.get(host);
    if (found !== undefined) return found;
    const budget: Budget = {
      messages: new TokenBucket(HOST_MESSAGES, this.#clock),
      hellos: new TokenBucket(HOST_HELLOS, this.#clock),
      heldReports: 0,
    };
    this.#budgets.set(host, budget);
    return budget;
  }
}
