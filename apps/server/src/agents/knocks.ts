import type { HostName } from '@floe/model';
import { FloeError, type Clock, type Trouble, type Troubles } from '@floe/runtime';
import type { HostRow } from '@floe/store';

/** The name of the work that fails, for {@link Troubles}. */
const ADMITTING = 'admitting its agent';
/** A refused agent asks again within about ten minutes. One that was not heard of for longer has gone. */
const FORGET_MS = 30 * 60_000;
/** One that is refused and enrols at once with its token is nobody's problem: only who asks again later is. */
const GRACE_MS = 2_000;

const WORDS: ReadonlyMap<string, (host: HostName) => string> = new Map([
  [
    'HOST_KEY_UNKNOWN',
    (host) =>
      `an agent with another key knocks as ${host}, while the enrolled one is away: its machine lost its state folder, or another machine has this name`,
  ],
  ['HOST_NOT_ENROLLED', (host) => `an agent knocks as ${host}, for which none is enrolled`],
]);

/** True when the trouble is that of an agent that knocks in vain. */
export function isKnock({ code }: Pick<Trouble, 'code'>): boolean {
  return WORDS.has(code);
}

export interface KnocksDeps {
  readonly troubles: Pick<Troubles, 'note' | 'end'>;
  readonly clock: Pick<Clock, 'monotonic'>;
}

/**
 * Agents that ask to be a host, and are refused because of their key: the problem of that host, until the right one is there or nobody asked for
 * a while. Anybody can ask for any name, without a key. So a host whose agent is connected has no such problem, the words do not depend on who
 * asks, and what is kept is bounded by the hosts that there are.
 */
export class Knocks {
  readonly #deps: KnocksDeps;
  /** When somebody asked first and last. */
  readonly #heard = new Map<HostName, { readonly first: number; readonly last: number }>();

  constructor(deps: KnocksDeps) {
    this.#deps = deps;
  }

  /** An agent was refused with this code. `row`: of the host that it asked to be. */
  note(code: string, row: Pick<HostRow, 'host' | 'isConnected' | 'revokedAt' | 'unreadable'> | undefined): void {
    const words = WORDS.get(code);
    // A revoked host is shut out on purpose, and says so.
    if (words === undefined || row === undefined || row.isConnected || row.revokedAt !== undefined || row.unreadable !== undefined) return;
    const now = this.#deps.clock.monotonic();
    const first = this.#heard.get(row.host)?.first ?? now;
    this.#heard.set(row.host, { first, last: now });
    if (now - first < GRACE_MS) return;
    this.#deps.troubles.note(ADMITTING, row.host, new FloeError(code, words(row.host)));
  }

  /** The right one is there. */
  end(host: HostName): void {
    if (this.#heard.delete(host)) this.#deps.troubles.end(ADMITTING, host);
  }

  /** Ends those that nobody repeated. */
  forgetOld(): void {
    const since = this.#deps.clock.monotonic() - FORGET_MS;
    for (const [host, { last }] of this.#heard) if (last < since) this.end(host);
  }
}
