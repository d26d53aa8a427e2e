import { randomBytes, randomUUID } from 'node:crypto';
import type { HostName } from '@floe/model';
import { AgentMessage, CLOSE_CODES, HEARTBEAT_MS, MAX_FRAME_BYTES, parseFrame, type Hello, type Progress } from '@floe/protocol';
import { isFloeError, type Clock, type Logger } from '@floe/runtime';
import type { HostRow, Store } from '@floe/store';
import type { WebSocket } from 'ws';
import { judgeHello } from './admission.ts';
import type { ReportWriter } from './report-writer.ts';
import { AgentSocket, type AgentSession } from './session.ts';

/** An agent that says nothing useful within this time after connecting is cut off. */
const HANDSHAKE_MS = 10_000;
/** How long an admitted activation keeps its slot, in ms. */
const GO_LEASE_MS = 30 * 60_000;
/** So long after its connection ended a host still counts as there, in ms. */
const RECONNECT_GRACE_MS = 2_000;
const MAX_WAITING_REPORTS = 50_000;

export interface HubDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly reports: ReportWriter;
  /** A host came, went, or said where it is: desired state and views are to be looked at again. */
  readonly onHostChanged: (host: HostName) => void;
  /** May this host activate the directive of this epoch now? */
  readonly mayActivate: (host: HostName, epoch: number) => Promise<boolean>;
  readonly onProgress: (host: HostName, progress: Progress) => void;
}

/** The connected agents: who they are, and the way to them. */
export class AgentHub implements AsyncDisposable {
  readonly #deps: HubDeps;
  readonly #sessions = new Map<HostName, AgentSession>();
  readonly #sockets = new Set<AgentSocket>();
  /** Closed sockets whose end is not stored yet. */
  readonly #closing = new Set<Promise<void>>();
  readonly #heartbeat: NodeJS.Timeout;
  /** Session ids start with it, so that a restarted server knows its own old presence rows. */
  readonly #serverId = randomUUID();
  #isStopping = false;
  readonly #stopping = new AbortController();

  constructor(deps: HubDeps) {
    this.#deps = deps;
    this.#heartbeat = setInterval(() => this.#beat(), HEARTBEAT_MS);
  }

  session(host: HostName): AgentSession | undefined {
    return this.#sessions.get(host);
  }

  hosts(): HostName[] {
    return [...this.#sessions.keys()];
  }

  /** Takes over a fresh socket: challenge, hello, welcome, then messages until it closes. */
  accept(socket: WebSocket, remoteAddress: string): void {
    const wire = new AgentSocket(socket);
    const logger = this.#deps.logger.child({ remoteAddress });
    if (this.#isStopping) {
      void wire.close(CLOSE_CODES.restarting, 'restarting');
      return;
    }
    this.#sockets.add(wire);
    const nonce = randomBytes(24).toString('base64url');
    let session: AgentSession | undefined;
    // Messages of one socket are taken one after another: the hello must be settled before what follows it.
    let chain: Promise<void> = Promise.resolve();

    const handshake = setTimeout(() => void wire.close(CLOSE_CODES.badMessage, 'no hello'), HANDSHAKE_MS);
    socket.on('message', (data, isBinary) => {
      wire.touch();
      const frame = isBinary || !Buffer.isBuffer(data) ? undefined : data.toString('utf8');
      chain = chain
        .then(() => this.#take(frame)(wire, nonce, session, logger))
        .then(
          (next) => {
            if (next !== undefined && session === undefined) clearTimeout(handshake);
            session = next;
          },
          (error: unknown) => {
            // A store that is away is the only way here; the agent comes back with jitter.
            logger.warn('an agent could not be served', { error });
            void wire.close(isFloeError(error) && error.retryable ? CLOSE_CODES.restarting : 1011, 'try again later');
          },
        );
    });
    socket.on('error', (error) => logger.debug('socket error', { error }));
    socket.on('close', (code) => {
      clearTimeout(handshake);
      this.#sockets.delete(wire);
      const closing = chain.then(async () => await this.#close(session, code, logger)).finally(() => this.#closing.delete(closing));
      this.#closing.add(closing);
    });
    wire.send({ type: 'challenge', nonce });
  }

  #take(frame: string | undefined) {
    return async (wire: AgentSocket, nonce: string, session: AgentSession | undefined, logger: Logger): Promise<AgentSession | undefined> => {
      const parsed = frame === undefined ? ({ kind: 'malformed', why: 'not a text frame' } as const) : parseFrame(AgentMessage, frame);
      if (parsed.kind === 'malformed') {
        logger.warn('a frame is not of the protocol', { host: session?.host, why: parsed.why.slice(0, 300) });
        wire.send({ type: 'refusal', code: 'BAD_MESSAGE', message: `the frame is not of the protocol: ${parsed.why.slice(0, 500)}` });
        void wire.close(CLOSE_CODES.badMessage, 'bad message');
        return session;
      }
      const message = parsed.message;
      if (session === undefined) {
        if (message.type === 'hello') return await this.#greet(wire, nonce, message, logger);
        void wire.close(CLOSE_CODES.badMessage, 'hello first');
        return undefined;
      }
      switch (message.type) {
        case 'hello':
          void wire.close(CLOSE_CODES.badMessage, 'one hello only');
          break;
        case 'report':
          if (this.#deps.reports.waiting > MAX_WAITING_REPORTS) void wire.close(CLOSE_CODES.restarting, 'overloaded');
          else this.#deps.reports.add({ host: session.host, report: message, stored: (seq) => wire.send({ type: 'ack', seq }) });
          break;
        case 'ready':
          if (await this.#deps.mayActivate(session.host, message.epoch)) wire.send({ type: 'go', epoch: message.epoch, leaseMs: GO_LEASE_MS });
          break;
        case 'progress':
          this.#deps.onProgress(session.host, message);
          break;
      }
      return session;
    };
  }

  async #greet(wire: AgentSocket, nonce: string, hello: Hello, logger: Logger): Promise<AgentSession | undefined> {
    const { store, clock } = this.#deps;
    const row = await store.hosts.get(hello.host);
    const verdict = judgeHello(hello, row, nonce);
    if (verdict.kind !== 'welcome' || row === undefined) {
      if (verdict.kind === 'welcome') return undefined;
      if (verdict.kind === 'cloned') await this.#quarantineClone(hello.host, verdict.message);
      logger.warn('an agent was refused', { host: hello.host, code: verdict.code });
      wire.send({ type: 'refusal', code: verdict.code, message: verdict.message });
      void wire.close(verdict.closeCode, verdict.code);
      return undefined;
    }
    const session: AgentSession = {
      id: `${this.#serverId}/${randomUUID()}`,
      host: hello.host,
      machineId: hello.machineId,
      bootId: hello.bootId,
      nonce,
      socket: wire,
      offeredEpoch: 0,
    };
    // The newest session wins: a laptop that changed networks is here again while its old socket still looks alive.
    void this.#sessions.get(hello.host)?.socket.close(CLOSE_CODES.replaced, 'replaced');
    this.#sessions.set(hello.host, session);
    const connected = await store.hosts.connect(hello.host, {
      sessionId: session.id,
      bootId: hello.bootId,
      machineId: hello.machineId,
      agentVersion: hello.agentVersion,
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
    logger.info('agent connected', { host: hello.host, agentVersion: hello.agentVersion, state: hello.state });
    wire.send({ type: 'welcome', serverTime: clock.now(), reportSeq: connected.reportSeq });
    this.#deps.onHostChanged(hello.host);
    return session;
  }

  /** A restored database may have forgotten that the host put this toplevel back: the host's own word brings it back. */
  async #recoverQuarantine(hello: Hello, row: HostRow): Promise<void> {
    if (hello.state !== 'ROLLED_BACK' || hello.toplevel === null || hello.reportSeq <= row.reportSeq) return;
    await this.#deps.store.hosts.quarantine(hello.host, hello.toplevel, 'the host says that it put this system back', this.#deps.clock.now());
  }

  async #quarantineClone(host: HostName, message: string): Promise<void> {
    const { store, clock } = this.#deps;
    await store.hosts.markCloned(host, clock.now());
    await store.audit.append({ at: clock.now(), actor: 'floe-server', action: 'quarantine-clone', subject: host, detail: message });
    void this.#sessions.get(host)?.socket.close(CLOSE_CODES.cloned, 'HOST_CLONED');
    this.#deps.onHostChanged(host);
  }

  async #close(session: AgentSession | undefined, code: number, logger: Logger): Promise<void> {
    if (session === undefined) return;
    if (this.#sessions.get(session.host) === session) this.#sessions.delete(session.host);
    logger.info('agent disconnected', { host: session.host, closeCode: code });
    // An agent that just switched wants a new connection, and is back at once: that is not a machine that went away.
    await this.#deps.clock.sleep(RECONNECT_GRACE_MS, this.#stopping.signal);
    if (this.#sessions.has(session.host)) return;
    try {
      await this.#deps.store.hosts.disconnect(session.host, session.id, this.#deps.clock.now());
    } catch (error) {
      // Presence is corrected when the database is back: see Steering's full pass.
      logger.warn('presence could not be stored', { host: session.host, error });
    }
    this.#deps.onHostChanged(session.host);
  }

  #beat(): void {
    for (const socket of this.#sockets) socket.beat();
  }

  /** Ends a host's connection, e.g. when its enrolment is revoked. */
  disconnect(host: HostName, closeCode: number, reason: string): void {
    void this.#sessions.get(host)?.socket.close(closeCode, reason);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopping = true;
    this.#stopping.abort();
    clearInterval(this.#heartbeat);
    await Promise.all([...this.#sockets].map(async (socket) => await socket.close(CLOSE_CODES.restarting, 'restarting')));
    await Promise.all(this.#closing);
  }
}

/** Options of the `ws` server that feeds {@link AgentHub.accept}. */
export const AGENT_SOCKET_OPTIONS = { noServer: true, maxPayload: MAX_FRAME_BYTES, perMessageDeflate: false, clientTracking: false } as const;
