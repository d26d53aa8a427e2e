import { SERVER_AWAY, type AgentEvent, type AgentJournal } from '@floe/model';
import type { Clock } from '@floe/runtime';
import type { Machine } from '../machines/machine.ts';

/** Why a system that works was left again. */
export const SERVER_MISSED = 'SERVER_MISSED';

export interface MissedServerDeps {
  readonly clock: Clock;
  readonly machine: Pick<Machine, 'isValid' | 'keep'>;
  /** How long the server may be away, in ms; 0: for ever. */
  readonly limitMs: number;
  readonly isConnected: () => boolean;
  readonly isNetworkThere: () => Promise<boolean>;
}

/**
 * A system that was kept although the server did not answer, as the network did, may be what keeps the server away: a VPN,
 * a proxy, a name that are not there any more. No push could ever mend that. So it is left once the server was missed for
 * too long, while the machine was awake; from the system before one sees whose fault it was.
 */
export class MissedServer {
  readonly #deps: MissedServerDeps;
  #since: number | undefined;

  constructor(deps: MissedServerDeps) {
    this.#deps = deps;
  }

  /** To be asked every few seconds. */
  async look({ state, detail, directive, before, override }: AgentJournal): Promise<AgentEvent | null> {
    const { clock, machine, limitMs, isConnected, isNetworkThere } = this.#deps;
    if (state !== 'SUCCEEDED' || detail?.code !== SERVER_AWAY || directive === null || override !== null) {
      this.#since = undefined;
      return null;
    }
    const { epoch } = directive;
    if (isConnected()) return { type: 'server-met', epoch };
    this.#since ??= clock.monotonic();
    if (limitMs === 0 || clock.monotonic() - this.#since < limitMs) return null;
    // Where one cannot go back, or would learn nothing, it is looked at again after as long.
    this.#since = undefined;
    if (before?.toplevel == null || !(await machine.isValid(before.toplevel)) || !(await isNetworkThere())) return null;
    await machine.keep('before', before.toplevel);
    const message = `since the switch the server did not answer for ${Math.round(limitMs / 60_000)} minutes, although the network works`;
    return { type: 'server-missed', epoch, detail: { code: SERVER_MISSED, message } };
  }
}
