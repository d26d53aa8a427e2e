import { SERVER_AWAY, SERVER_MISSED, type AgentEvent, type AgentJournal } from '@floe/model';
import type { Clock } from '@floe/runtime';
import type { Machine } from '../machines/machine.ts';
import type { ServerContact } from '../server/contact.ts';

/** The network is asked for as often as this, in ms, while the server is away. */
const NETWORK_EVERY_MS = 60_000;

export interface MissedServerDeps {
  readonly clock: Clock;
  readonly machine: Pick<Machine, 'isValid' | 'keep'>;
  /** How long the server may be away, in ms; 0: for ever. */
  readonly limitMs: number;
  readonly contact: () => ServerContact;
  /** Tries to connect now, whenever the next try is due; true: the server is there. */
  readonly reach: () => Promise<boolean>;
  readonly isNetworkThere: () => Promise<boolean>;
}

/**
 * A system that was kept although the server did not answer, as the network did, may be what keeps the server away: a VPN,
 * a proxy, a name, a key that are not there any more. No push could ever mend that. So it is left once the server was
 * missed for too long, while the machine was awake and had a network; from the system before one sees whose fault it was.
 */
export class MissedServer {
  readonly #deps: MissedServerDeps;
  #since: number | undefined;
  #networkAskedAt = Number.NEGATIVE_INFINITY;

  constructor(deps: MissedServerDeps) {
    this.#deps = deps;
  }

  /** To be asked every few seconds. */
  async look({ state, detail, directive, before, override }: AgentJournal): Promise<AgentEvent | null> {
    const { clock, machine, limitMs, reach } = this.#deps;
    const contact = this.#deps.contact();
    const isOpen = state === 'SUCCEEDED' && detail?.code === SERVER_AWAY && directive !== null && override === null;
    // One that says nothing has nothing to say here, or is at work: that proves nothing.
    if (!isOpen || contact === 'silent') {
      this.#since = undefined;
      return null;
    }
    const { epoch } = directive;
    if (contact === 'trusted') return { type: 'server-met', epoch };
    const now = clock.monotonic();
    this.#since ??= now;
    if (limitMs === 0) return null;
    const isOver = now - this.#since >= limitMs;
    if (contact === 'away' && !(await this.#hasNetwork(now, isOver))) {
      this.#since = undefined;
      return null;
    }
    if (!isOver) return null;
    // Where one cannot go back, or would learn nothing, it is looked at again after as long.
    this.#since = undefined;
    if (before?.toplevel == null || !(await machine.isValid(before.toplevel))) return null;
    if (contact === 'away' && (await reach())) return null;
    await machine.keep('before', before.toplevel);
    const minutes = Math.round(limitMs / 60_000);
    const message = `since the switch this system had no contact with a server that it believes for ${minutes} minutes, although the network works`;
    return { type: 'server-missed', epoch, detail: { code: SERVER_MISSED, message } };
  }

  /** Time without a network says nothing about the server. */
  async #hasNetwork(now: number, isAsked: boolean): Promise<boolean> {
    if (!isAsked && now - this.#networkAskedAt < NETWORK_EVERY_MS) return true;
    this.#networkAskedAt = now;
    return await this.#deps.isNetworkThere();
  }
}
