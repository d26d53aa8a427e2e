import {
  isMissedTooLong,
  SERVER_AWAY,
  SERVER_MISSED,
  timeLimit,
  type AgentEvent,
  type AgentJournal,
  type NetworkBefore,
  type Whereabouts,
} from '@floe/model';
import type { Clock } from '@floe/runtime';
import type { Machine } from '../machines/machine.ts';
import type { ServerContact } from '../server/contact.ts';

/** How often the network is checked while the server is away, in ms. */
const NETWORK_EVERY_MS = 60_000;

export interface MissedServerDeps {
  readonly clock: Clock;
  readonly machine: Pick<Machine, 'isValid' | 'keep'>;
  /** How long the server may be away, in ms; 0: forever. */
  readonly limitMs: number;
  readonly contact: () => ServerContact;
  /** Connects at once, without waiting for the next try; true: the server answered. */
  readonly reach: () => Promise<boolean>;
  readonly whereabouts: (before: NetworkBefore | undefined) => Promise<Whereabouts>;
}

/**
 * A system that was kept although the server did not answer may itself cut the server off: by a VPN, a proxy, a host name or a
 * key that it lacks. No push could correct that. So the agent rolls it back once the server was missed for too long while the
 * machine was awake, and somebody answered it ({@link isMissedTooLong}). Whether the previous system reaches the server then
 * shows which of the two is at fault.
 */
export class MissedServer {
  readonly #deps: MissedServerDeps;
  #since: number | undefined;
  #where: Whereabouts | undefined;
  #askedAt = Number.NEGATIVE_INFINITY;

  constructor(deps: MissedServerDeps) {
    this.#deps = deps;
  }

  /** Call it every few seconds. */
  async look({ state, since, detail, directive, before, override }: AgentJournal): Promise<AgentEvent | null> {
    const { clock, machine, limitMs, reach } = this.#deps;
    const contact = this.#deps.contact();
    const isOpen = state === 'SUCCEEDED' && detail?.code === SERVER_AWAY && directive !== null && override === null;
    // A connected but idle server neither confirms nor refutes our keys.
    if (!isOpen || contact === 'silent') {
      this.#since = undefined;
      return null;
    }
    const { epoch } = directive;
    if (contact === 'trusted') return { type: 'server-met', epoch };
    if (limitMs === 0) return null;
    const now = clock.monotonic();
    const isOver = (where: Whereabouts | undefined): boolean =>
      where !== undefined &&
      this.#since !== undefined &&
      isMissedTooLong(where, { missedMs: now - this.#since, committedMs: clock.now() - since, limitMs });
    const where = contact === 'refused' ? 'network' : await this.#find(before?.network, now, isOver(this.#where));
    // Each kind of network counts by itself: time without one says nothing about the server.
    if (where !== this.#where) this.#since = undefined;
    this.#where = where;
    this.#since ??= now;
    if (!isOver(where)) return null;
    // Where a rollback is not possible, or the server answers now, the time starts again.
    this.#since = undefined;
    if (before?.toplevel == null || !(await machine.isValid(before.toplevel))) return null;
    if (contact === 'away' && (await reach())) return null;
    await machine.keep('before', before.toplevel);
    const network =
      where === 'network' ? 'although the network works' : 'and others answered in its place: a captive portal, a proxy, or a wrong name';
    const message = `for ${timeLimit(limitMs)}, this system had no connection to a server whose directives it accepts, ${network}`;
    return { type: 'server-missed', epoch, detail: { code: SERVER_MISSED, message } };
  }

  async #find(before: NetworkBefore | undefined, now: number, isOver: boolean): Promise<Whereabouts> {
    if (this.#where !== undefined && !isOver && now - this.#askedAt < NETWORK_EVERY_MS) return this.#where;
    this.#askedAt = now;
    return await this.#deps.whereabouts(before);
  }
}
