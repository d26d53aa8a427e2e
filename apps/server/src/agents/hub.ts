import { randomBytes, randomUUID } from 'node:crypto';
import type { Duplex } from 'node:stream';
import type { HostName, StorePath } from '@floe/model';
import { AgentMessage, CLOSE_CODES, HEARTBEAT_MS, MAX_FRAME_BYTES, MAX_HELLO_BYTES, parseFrame, type Progress } from '@floe/protocol';
import { background, Crowd, isFloeError, type Clock, type Logger, type Troubles } from '@floe/runtime';
import type { PlainStore } from '@floe/store';
import type { WebSocket } from 'ws';
import { AgentSocket } from './agent-socket.ts';
import { HostBudgets } from './budgets.ts';
import { Greeter, type Visitor } from './greeter.ts';
import { keepPresence } from './presence.ts';
import type { ReportWriter } from './report-writer.ts';
import type { WelcomedSession } from './session.ts';
import type { SignedReportWriter } from './signed-reports.ts';
import { TwinWatch } from './twins.ts';
import { GO_LEASE_MS } from '../rollouts/admission.ts';

/** Who has not said a hello with a host's signature within this time after connecting is cut off. */
const HANDSHAKE_MS = 10_000;
/** So many connections may be without such a hello at a time; one more, and the oldest of the busiest address is cut. */
const MAX_STRANGERS = 3_000;
/** How long an admitted activation keeps its slot, in ms. */
/** So long after its connection ended a host still counts as there, in ms. */
const RECONNECT_GRACE_MS = 2_000;
/** An agent whose connection was replaced, and that answers this long after, in ms, is a second one. */
const TWIN_ANSWER_MS = 2_000;

export interface HubDeps {
  readonly store: PlainStore;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly reports: Pick<ReportWriter, 'add' | 'settled'>;
  readonly signedReports: Pick<SignedReportWriter, 'take'>;
  readonly troubles: Troubles;
  /** A host came, went, or said where it is: desired state and views are to be looked at again. */
  readonly onHostChanged: (host: HostName) => void;
  /** May this host activate the directive of this epoch now? */
  readonly mayActivate: (host: HostName, epoch: number) => Promise<boolean>;
  readonly onProgress: (host: HostName, progress: Progress) => void;
  /** The host has this system in its store, ahead of its directive. */
  readonly onStaged: (host: HostName, toplevel: StorePath) => void;
}

/** Where a WebSocket comes from. */
export interface Origin {
  /** Who counts as one stranger: a client address. */
  readonly address: string;
  readonly raw: Duplex;
}

/** One connection, from its challenge to its end. */
interface Visit extends Visitor {
  session: WelcomedSession | undefined;
  isGreeted: boolean;
}

/** The connected agents: who they are, and the way to them. */
export class AgentHub implements AsyncDisposable {
  readonly #deps: HubDeps;
  readonly #sessions = new Map<HostName, WelcomedSession>();
  readonly #sockets = new Set<AgentSocket>();
  readonly #strangers = new Crowd<AgentSocket>(MAX_STRANGERS);
  readonly #budgets: HostBudgets;
  readonly #greeter: Greeter;
  readonly #twins = new TwinWatch();
  /** Ids of closed sessions whose end is not stored yet. */
  readonly #leaving = new Map<string, Promise<void>>();
  readonly #heartbeat: NodeJS.Timeout;
  /** Session ids start with it, so that a restarted server knows its own old presence rows. */
  readonly #serverId = randomUUID();
  readonly #stopping = new AbortController();

  constructor(deps: HubDeps) {
    this.#deps = deps;
    this.#budgets = new HostBudgets(deps.clock);
    this.#greeter = new Greeter({
      store: deps.store,
      clock: deps.clock,
      budgets: this.#budgets,
      troubles: deps.troubles,
      newSessionId: () => `${this.#serverId}/${randomUUID()}`,
      onClone: async (host, message) => await this.#shutOut(host, message),
    });
    this.#heartbeat = setInterval(() => this.#beat(), HEARTBEAT_MS);
  }

  session(host: HostName): WelcomedSession | undefined {
    return this.#sessions.get(host);
  }

  /** Keeps the stored presence in line with the sockets until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { store, clock, logger, onHostChanged } = this.#deps;
    const isPassing = (id: string): boolean => this.#leaving.has(id) || this.#greeter.isGreeting(id);
    const sessionOf = (host: HostName): string | undefined => this.#sessions.get(host)?.id;
    const sessions = (): ReadonlyMap<HostName, WelcomedSession> => this.#sessions;
    await keepPresence({ hosts: store.hosts, clock, logger, serverId: this.#serverId, sessionOf, isPassing, sessions, onHostChanged }, signal);
  }

  /** Takes over a fresh socket: challenge, hello, welcome, then messages until it closes. */
  accept(socket: WebSocket, origin: Origin): void {
    const wire = new AgentSocket(socket, this.#deps.clock);
    const logger = this.#deps.logger.child({ remoteAddress: origin.address });
    if (this.#stopping.signal.aborted) {
      wire.close(CLOSE_CODES.restarting, 'restarting');
      return;
    }
    this.#sockets.add(wire);
    this.#strangers.join(wire, origin.address)?.cut();
    const handshake = setTimeout(() => wire.close(CLOSE_CODES.badMessage, 'no hello'), HANDSHAKE_MS);
    const unlimit = wire.limitBytes(origin.raw, MAX_HELLO_BYTES);
    const visit: Visit = {
      wire,
      address: origin.address,
      nonce: randomBytes(24).toString('base64url'),
      logger,
      session: undefined,
      isGreeted: false,
      onKnown: () => {
        clearTimeout(handshake);
        this.#strangers.leave(wire);
      },
      onWelcome: (session) => {
        unlimit();
        visit.session = session;
        this.#welcome(session);
      },
    };
    const failed = (error: unknown): void => {
      // A store that is away is the only way here; the agent comes back with jitter.
      logger.warn('an agent could not be served', { error });
      wire.close(isFloeError(error) && error.retryable ? CLOSE_CODES.restarting : 1011, 'try again later');
    };
    wire.read(async (frame) => await this.#take(visit, frame), failed);
    background(
      wire.closed.then((code) => {
        clearTimeout(handshake);
        this.#sockets.delete(wire);
        this.#strangers.leave(wire);
        if (visit.session !== undefined) this.#leave(visit.session, code, logger);
      }),
      failed,
    );
    wire.send({ type: 'challenge', nonce: visit.nonce });
  }

  async #take(visit: Visit, frame: string | undefined): Promise<void> {
    const { wire, logger, session } = visit;
    const { reports, signedReports, mayActivate, onProgress, onStaged } = this.#deps;
    if (session !== undefined) await wire.sleep(this.#budgets.charge(session.host, frame?.length ?? 0));
    // A replaced one is heard no more: what it says is sent again by whoever is right.
    if (session !== undefined && this.#sessions.get(session.host) !== session) return;
    const parsed = frame === undefined ? ({ kind: 'malformed', why: 'not a text frame' } as const) : parseFrame(AgentMessage, frame);
    if (parsed.kind === 'malformed') {
      logger.warn('a frame is not of the protocol', { host: session?.host, why: parsed.why.slice(0, 300) });
      wire.send({ type: 'refusal', code: 'BAD_MESSAGE', message: `the frame is not of the protocol: ${parsed.why}` });
      wire.close(CLOSE_CODES.badMessage, 'bad message');
      return;
    }
    const message = parsed.message;
    if (session === undefined || message.type === 'hello') {
      if (message.type !== 'hello' || visit.isGreeted) {
        wire.close(CLOSE_CODES.badMessage, visit.isGreeted ? 'one hello only' : 'hello first');
        return;
      }
      visit.isGreeted = true;
      await this.#greeter.greet(visit, message);
      return;
    }
    switch (message.type) {
      case 'report': {
        const size = frame?.length ?? 0;
        await this.#budgets.admitReport(session.host, size, wire);
        if (!wire.isOpen) return;
        const stored = this.#budgets.holdReport(session.host, size);
        reports.add({
          host: session.host,
          report: message,
          stored: (seq) => {
            stored();
            wire.send({ type: 'ack', seq });
          },
        });
        break;
      }
      case 'signed-report':
        signedReports.take(message.envelope, session);
        break;
      case 'ready':
        // Behind its reports: a host that still counts as waiting for its user would hold no slot.
        await reports.settled(session.host);
        if (await mayActivate(session.host, message.epoch)) wire.send({ type: 'go', epoch: message.epoch, leaseMs: GO_LEASE_MS });
        break;
      case 'progress':
        onProgress(session.host, message);
        break;
      case 'staged':
        onStaged(session.host, message.toplevel);
        break;
    }
  }

  /** The session is addressable from here on: its welcome was written. */
  #welcome(session: WelcomedSession): void {
    const { clock, logger, onHostChanged } = this.#deps;
    const previous = this.#sessions.get(session.host);
    // The newest session wins: a laptop that changed networks is here again while its old socket still looks alive.
    this.#sessions.set(session.host, session);
    if (previous?.isOpen === true) background(this.#replace(previous), (error) => logger.error('a session could not be replaced', { error }));
    if (this.#twins.noteBoot(session.host, session.bootId, clock.monotonic()) === 'two-machines') this.#tellTwins(session.host);
    onHostChanged(session.host);
  }

  async #replace(previous: WelcomedSession): Promise<void> {
    const isAlive = await previous.answersWithin(TWIN_ANSWER_MS);
    previous.close(CLOSE_CODES.replaced, 'replaced');
    if (isAlive && this.#twins.noteBothAnswer(previous.host, this.#deps.clock.monotonic()) === 'two-machines') this.#tellTwins(previous.host);
  }

  #tellTwins(host: HostName): void {
    const message = `two machines take turns as ${host}, with the same key and the same machine id (a whole disk was copied): both are shut out; give the copy an enrolment and a machine id of its own, then "floe retry ${host}"`;
    background(this.#shutOut(host, message), (error) => this.#deps.logger.error('a cloned host could not be shut out', { host, error }));
  }

  async #shutOut(host: HostName, message: string): Promise<void> {
    const { store, clock, logger, onHostChanged } = this.#deps;
    this.#twins.forget(host);
    logger.warn('a host is shut out: two machines have its key', { host, why: message });
    await store.decide(async ({ hosts }) => ({
      result: await hosts.markCloned(host, clock.now()),
      entries: [{ at: clock.now(), actor: 'floe-server', action: 'quarantine-clone', subject: host, detail: message }],
    }));
    this.disconnect(host, CLOSE_CODES.cloned, 'HOST_CLONED');
    onHostChanged(host);
  }

  #leave(session: WelcomedSession, code: number, logger: Logger): void {
    if (this.#sessions.get(session.host) === session) this.#sessions.delete(session.host);
    logger.info('agent disconnected', { host: session.host, closeCode: code });
    const leaving = this.#storeAbsence(session, logger).finally(() => this.#leaving.delete(session.id));
    this.#leaving.set(session.id, leaving);
  }

  /** Never rejects: presence that could not be stored is put right by the next comparison. */
  async #storeAbsence(session: WelcomedSession, logger: Logger): Promise<void> {
    const { store, clock, onHostChanged } = this.#deps;
    // When the server ends, all are away at once.
    if (this.#stopping.signal.aborted) return;
    // An agent that just switched wants a new connection, and is back at once: that is not a machine that went away.
    await clock.sleep(RECONNECT_GRACE_MS, this.#stopping.signal);
    if (this.#sessions.has(session.host) || this.#stopping.signal.aborted) return;
    await store.hosts.disconnect(session.host, session.id, clock.now()).then(
      () => onHostChanged(session.host),
      (error: unknown) => logger.warn('presence could not be stored yet', { host: session.host, error }),
    );
  }

  #beat(): void {
    for (const socket of this.#sockets) socket.beat();
    this.#greeter.forgetOld();
    this.#budgets.forgetIdle((host) => this.#sessions.has(host));
  }

  /** Ends a host's connection, and one that is being admitted, e.g. when its enrolment is revoked. */
  disconnect(host: HostName, closeCode: number, reason: string): void {
    this.#greeter.disconnect(host, closeCode, reason);
    this.#sessions.get(host)?.close(closeCode, reason);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    clearInterval(this.#heartbeat);
    for (const socket of this.#sockets) socket.close(CLOSE_CODES.restarting, 'restarting');
    await Promise.all([...this.#sockets].map(async (socket) => await socket.closed));
    await Promise.all(this.#leaving.values());
    const { store, clock, logger } = this.#deps;
    await store.hosts
      .disconnectAll(`${this.#serverId}/`, clock.now())
      .catch((error: unknown) => logger.warn('presence could not be stored; the next start does it', { error }));
  }
}

/** Options of the `ws` server that feeds {@link AgentHub.accept}. Pings are answered by {@link AgentSocket}, within bounds. */
export const AGENT_SOCKET_OPTIONS = {
  noServer: true,
  maxPayload: MAX_FRAME_BYTES,
  maxFragments: 64,
  // Packets that one frame may come in: each costs its own buffer, however small it is.
  maxBufferedChunks: 1024,
  perMessageDeflate: false,
  clientTracking: false,
  autoPong: false,
} as const;
