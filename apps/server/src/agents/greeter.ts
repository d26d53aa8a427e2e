import type { HostName } from '@floe/model';
import { CLOSE_CODES, SIGNED_REPORTS, type Hello } from '@floe/protocol';
import { FairGate, FloeError, type Clock, type Logger, type Troubles } from '@floe/runtime';
import type { HostRow, PlainStore } from '@floe/store';
import { EPOCH_TOO_FAR, judgeHello, signatureOf, type IsSignedBy } from './admission.ts';
import type { AgentSocket } from './agent-socket.ts';
import type { HostBudgets } from './budgets.ts';
import { Knocks } from './knocks.ts';
import { WelcomedSession } from './session.ts';

/**
 * Number of hellos that are judged at the same time, in all and per address: unauthenticated clients share the database with the
 * API and the connected hosts. Addresses are served in turn, and so are the hosts that they claim to be.
 */
const CONCURRENT_HELLOS = 16;
const CONCURRENT_OF_ADDRESS = 8;
/** As many as there may be connections without a judged hello: those that were closed meanwhile still wait for their turn. */
const WAITING_HELLOS = 3_000;

/**
 * Number of admissions that are stored at the same time. The store has few transactions for them, in which it puts together what waits: so many
 * are one that is stored, and the next. Whoever gives up before has not asked for anything.
 */
const CONCURRENT_ADMISSIONS = 500;

/** The name of the work that fails for a refused agent, for {@link Troubles}. */
const CONNECTING = 'connecting';

export interface GreeterDeps {
  readonly store: PlainStore;
  readonly clock: Clock;
  readonly budgets: HostBudgets;
  readonly troubles: Troubles;
  readonly newSessionId: () => string;
  /** A second machine uses the host's key. */
  readonly onClone: (host: HostName, message: string) => Promise<void>;
}

/** A client that sent a hello. */
export interface Visitor {
  readonly wire: AgentSocket;
  readonly address: string;
  readonly nonce: string;
  readonly logger: Logger;
  /** Its signature matches a host's key. */
  readonly onKnown: () => void;
  /** Gets the session as soon as its welcome is written; not called when the agent is refused or disconnected. */
  readonly onWelcome: (session: WelcomedSession) => void;
}

interface Guest extends Visitor {
  readonly isSignedBy: IsSignedBy;
  readonly sessionId: string;
  /** A hello that came later has a higher one. */
  readonly arrival: number;
}

/** Turns a hello into a session, or refuses it. */
export class Greeter {
  readonly #deps: GreeterDeps;
  readonly #gate = new FairGate({
    places: CONCURRENT_HELLOS,
    placesOfGroup: CONCURRENT_OF_ADDRESS,
    waiting: WAITING_HELLOS,
    waitingOfGroup: WAITING_HELLOS,
  });
  readonly #admissions = new FairGate({
    places: CONCURRENT_ADMISSIONS,
    placesOfGroup: CONCURRENT_ADMISSIONS,
    // One at a time for each host.
    waiting: Infinity,
    waitingOfGroup: Infinity,
  });
  /** Hellos with the right key whose presence is being stored; one at a time for each host. */
  readonly #guests = new Map<HostName, Set<Guest>>();
  readonly #turns = new Map<HostName, Promise<unknown>>();
  #lastArrival = 0;
  readonly #knocks: Knocks;

  constructor(deps: GreeterDeps) {
    this.#deps = deps;
    this.#knocks = new Knocks(deps);
  }

  /** Ends problems of hosts whose false agents went away. */
  forgetOld(): void {
    this.#knocks.forgetOld();
  }

  isGreeting(sessionId: string): boolean {
    return [...this.#guests.values()].some((guests) => [...guests].some((guest) => guest.sessionId === sessionId));
  }

  /** Ends the admissions of the host that are under way. */
  disconnect(host: HostName, closeCode: number, reason: string): void {
    for (const { wire } of this.#guests.get(host) ?? []) wire.close(closeCode, reason);
  }

  async greet(visitor: Visitor, hello: Hello): Promise<void> {
    const { wire, address, nonce } = visitor;
    const isSignedBy = signatureOf(hello, nonce);
    const arrival = ++this.#lastArrival;
    const row = await this.#gate.pass(address, hello.host, async () => (wire.isOpen ? await this.#judge(visitor, hello, isSignedBy) : undefined));
    if (row === undefined || !wire.isOpen) return;
    visitor.onKnown();
    const guest: Guest = { ...visitor, isSignedBy, sessionId: this.#deps.newSessionId(), arrival };
    // Under whichever name it comes: two names of one machine are one host.
    const { host } = row;
    const guests = this.#guests.get(host) ?? new Set();
    // However often a host connects, only its newest connection waits, also where an older one was judged after it.
    if ([...guests].some((other) => other.arrival > arrival)) return wire.close(CLOSE_CODES.replaced, 'replaced');
    for (const older of guests) older.wire.close(CLOSE_CODES.replaced, 'replaced');
    this.#guests.set(host, guests.add(guest));
    try {
      await this.#inTurn(host, async () => {
        await this.#deps.budgets.admitHello(host, wire);
        await this.#admissions.pass('hosts', host, async () => (wire.isOpen ? await this.#letIn(guest, hello, row) : undefined));
      });
    } finally {
      guests.delete(guest);
      if (guests.size === 0) this.#guests.delete(host);
    }
  }

  async #judge({ wire, logger }: Visitor, hello: Hello, isSignedBy: IsSignedBy): Promise<HostRow | undefined> {
    const row = await this.#rowOf(hello, isSignedBy);
    const verdict = judgeHello(hello, row, isSignedBy);
    if (verdict.kind === 'welcome') return row;
    if (verdict.kind === 'cloned' && row?.clonedAt === undefined) await this.#deps.onClone(row?.host ?? hello.host, verdict.message);
    this.#knocks.note(verdict.code, row);
    if (verdict.code === EPOCH_TOO_FAR) this.#deps.troubles.note(CONNECTING, hello.host, new FloeError(verdict.code, verdict.message));
    logger.warn('an agent was refused', { host: hello.host, code: verdict.code });
    wire.send({ type: 'refusal', code: verdict.code, message: verdict.message });
    wire.close(verdict.closeCode, verdict.code);
    return undefined;
  }

  /** The host of that name, or the one with this key that had the name before: its machine still runs a system of the old name. */
  async #rowOf(hello: Hello, isSignedBy: IsSignedBy): Promise<HostRow | undefined> {
    const { hosts } = this.#deps.store;
    const row = await hosts.get(hello.host);
    if (isSignedBy(row)) return row;
    const renamed = await hosts.renamed(hello.host);
    return isSignedBy(renamed) ? renamed : row;
  }

  /** Two admissions of one host are stored in order, so that the row names the session that is connected. */
  async #inTurn(host: HostName, work: () => Promise<void>): Promise<void> {
    const before = this.#turns.get(host) ?? Promise.resolve();
    const turn = before.then(work, work);
    this.#turns.set(host, turn);
    try {
      await turn;
    } finally {
      if (this.#turns.get(host) === turn) this.#turns.delete(host);
    }
  }

  async #letIn({ wire, nonce, logger, sessionId, isSignedBy, onWelcome }: Guest, hello: Hello, row: HostRow): Promise<void> {
    const { store, clock } = this.#deps;
    const { host } = row;
    const connected = await store.hosts.connect(host, {
      sessionId,
      bootId: hello.bootId,
      machineId: hello.machineId,
      agentVersion: hello.agentVersion,
      capabilities: hello.capabilities,
      system: hello.system,
      observed: hello.observed,
      state: hello.state,
      stateToplevel: hello.toplevel ?? undefined,
      epoch: hello.epoch,
      sequence: hello.sequence,
      reportSeq: hello.reportSeq,
      at: clock.now(),
    });
    await this.#recoverQuarantine(hello, row);
    // Revoked, enrolled again or marked as cloned since it was judged.
    const verdict = judgeHello(hello, connected, isSignedBy);
    if (verdict.kind !== 'welcome') {
      wire.send({ type: 'refusal', code: verdict.code, message: verdict.message });
      wire.close(verdict.closeCode, verdict.code);
      await store.hosts.disconnect(host, sessionId, clock.now());
      return;
    }
    const signedReports = hello.capabilities.includes(SIGNED_REPORTS) ? ({ signedReports: true } as const) : {};
    const welcome = { type: 'welcome', serverTime: clock.now(), reportSeq: connected.reportSeq, ...signedReports } as const;
    const session = WelcomedSession.welcome(sessionId, wire, nonce, { host, publicKey: connected.publicKey }, hello, welcome);
    if (session === undefined) {
      await store.hosts.disconnect(host, sessionId, clock.now());
      return;
    }
    onWelcome(session);
    this.#deps.troubles.end(CONNECTING, host);
    this.#knocks.end(host);
    logger.info('agent connected', {
      host,
      ...(hello.host === host ? {} : { formerHost: hello.host }),
      agentVersion: hello.agentVersion,
      state: hello.state,
    });
  }

  /** A restored database may lack the host's quarantine of this toplevel: the hello restores it. */
  async #recoverQuarantine(hello: Hello, row: HostRow): Promise<void> {
    if (hello.state !== 'ROLLED_BACK' || hello.toplevel === null || hello.reportSeq <= row.reportSeq) return;
    await this.#deps.store.hosts.quarantine(row.host, hello.toplevel, 'the host reports that it rolled this system back', this.#deps.clock.now());
  }
}
