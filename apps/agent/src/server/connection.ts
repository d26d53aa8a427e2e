import { CLOSE_CODES, HEARTBEAT_MS, MAX_FRAME_BYTES, parseFrame, ServerMessage, type AgentMessage, type Refusal } from '@floe/protocol';
import { timeLimit, type AgentDetail } from '@floe/model';
import { describeError, fullJitter, type Clock, type Logger } from '@floe/runtime';
import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import { asleepMs } from './asleep.ts';
import type { ConnectionHandlers } from './connection-handlers.ts';
import { endingOf, type Ending } from './ending.ts';
import { describeStranger } from './other-answer.ts';
import { openTunnel, ProxyRefused } from './tunnel.ts';
import type { Welcomed } from './welcomed.ts';

/** The server must welcome the agent within this time, in ms. */
const HANDSHAKE_MS = 15_000;
/** Reconnects spread over this time, so that a fleet does not reach a restarted server all at once. */
const RECONNECT = { baseMs: 1_000, capMs: 60_000 } as const;
/** Longest wait after a refusal. */
const SLOW_CAP_MS = 10 * 60_000;
/** How often in a row a server that breaks the protocol, e.g. because it has just started, is tried again quickly. */
const QUICK_TRIES = 5;
/** In a long wait, how often it is looked whether there is a reason to try at once, in ms. */
const REASON_LOOK_MS = 5_000;
/** While `renew` waits, in ms: between looks for the welcome, and between tries to connect. */
const RENEW_LOOK_MS = 10;
const RENEW_PAUSE_MS = 500;
const HURRIED_HANDSHAKE_MS = 4_000;
/** The two clocks of a machine that slept differ by more than this, in ms. */
const SLEPT_MS = 2_000;
/** For so long after a sleep, while the network may come back late, tries are at most so far apart, in ms. */
const [AWAKE_MS, AWAKE_PAUSE_MS] = [60_000, 1_000];
/** With more unsent bytes than this, lossy messages are dropped. */
const MAX_BUFFERED_BYTES = 64 * 1024;

export interface ConnectionDeps {
  readonly serverUrl: string;
  /** Shortest wait after a refusal, in ms. */
  readonly slowRetryMs: number;
  /** Through which the server is reached; undefined: directly. */
  readonly proxy?: URL | undefined;
  /** After a refusal: whether something changed here that is worth a try at once. */
  readonly hasNewToken?: () => Promise<boolean>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: () => number;
}

/** In a row. */
interface TriesInVain {
  readonly misses: number;
  readonly misunderstandings: number;
}

/** Where the server's sockets are. */
export function agentSocketUrl(serverUrl: string): string {
  return `${serverUrl.replace(/^http/, 'ws')}/agent`;
}

/** The agent's connection to its server. It reconnects by itself. */
export class Connection {
  readonly #deps: ConnectionDeps;
  #welcomed: Welcomed | undefined;
  #since: number | null = null;
  /** `renew` waits for a new connection: only short waits between tries. */
  #isHurried = false;
  #lastEnding: Ending['kind'] | undefined;
  #refusal: AgentDetail | null = null;
  #stranger: string | undefined;
  #socket: WebSocket | undefined;
  #tunneling: AbortController | undefined;
  #hurry = new AbortController();
  #asleepMs: number;
  #wokeAt = Number.NEGATIVE_INFINITY;

  constructor(deps: ConnectionDeps) {
    this.#deps = deps;
    this.#asleepMs = asleepMs(deps.clock);
  }

  /** When the connection was made or lost, ms by the machine's clock; null: there was none yet. */
  get since(): number | null {
    return this.#since;
  }

  /** Why the server refused this agent last, if it did not welcome it since. */
  get refusal(): AgentDetail | null {
    return this.#refusal;
  }

  /** Who answered in the server's place at the last try; undefined: the server, or nobody. */
  get stranger(): string | undefined {
    return this.#stranger;
  }

  get isWelcomed(): boolean {
    return this.#welcomed !== undefined;
  }

  /** The nonce of this connection's challenge; undefined while there is no connection. */
  get nonce(): string | undefined {
    return this.#welcomed?.nonce;
  }

  /** The server asked for reports that this host's key signed. */
  get takesSigned(): boolean {
    return this.#welcomed?.takesSigned === true;
  }

  /**
   * Checks whether the machine slept since the last call. Then the connection is most likely dead, and what arrives on it is
   * old: it is closed, and a new one made at once.
   */
  noticeSleep(): boolean {
    const { clock, logger } = this.#deps;
    const before = this.#asleepMs;
    this.#asleepMs = asleepMs(clock);
    if (this.#asleepMs - before < SLEPT_MS) return false;
    this.#wokeAt = clock.monotonic();
    logger.info('the machine slept; making a new connection', { sleptMs: Math.round(this.#asleepMs - before) });
    this.#hurry.abort();
    this.#hurry = new AbortController();
    this.#leave();
    return true;
  }

  get #justWoke(): boolean {
    return this.#deps.clock.monotonic() - this.#wokeAt < AWAKE_MS;
  }

  /** The server's clock: the time of its welcome and what has passed since; undefined while there is no connection. */
  get serverNow(): number | undefined {
    return this.#welcomed === undefined ? undefined : this.#welcomed.serverTime + this.#deps.clock.sinceBoot() - this.#welcomed.at;
  }

  /** Closes the connection; a new one is made at once. */
  reconnect(): void {
    this.#leave();
  }

  /**
   * Closes the connection and waits for the server's welcome on a new one. A new connection tests name look-up, route, TLS,
   * proxy and the host's key; a socket that is still open does not. 'refused': the server answered within `timeoutMs`, but
   * refused this agent or broke the protocol.
   */
  async renew(timeoutMs: number, signal: AbortSignal): Promise<'welcomed' | 'refused' | 'not-reached'> {
    const { clock } = this.#deps;
    const deadline = clock.monotonic() + timeoutMs;
    const before = this.#welcomed;
    this.#lastEnding = undefined;
    this.#isHurried = true;
    this.#hurry.abort();
    this.#leave();
    try {
      while (!signal.aborted) {
        if (this.#welcomed !== undefined && this.#welcomed !== before) return 'welcomed';
        if (clock.monotonic() >= deadline) break;
        await clock.sleep(RENEW_LOOK_MS, signal);
      }
      return this.#lastEnding === 'refused' || this.#lastEnding === 'not-understood' ? 'refused' : 'not-reached';
    } finally {
      this.#isHurried = false;
      this.#hurry = new AbortController();
    }
  }

  /** Sends a message if there is a connection; returns whether it did. `lossy`: dropped when the connection is busy. */
  send(message: AgentMessage, options: { readonly lossy?: boolean } = {}): boolean {
    const socket = this.#welcomed?.socket;
    if (socket === undefined || socket.readyState !== socket.OPEN) return false;
    if (options.lossy === true && socket.bufferedAmount > MAX_BUFFERED_BYTES) return false;
    socket.send(JSON.stringify(message));
    return true;
  }

  /** Connects, and connects again, until `signal` aborts. */
  async run(handlers: ConnectionHandlers, signal: AbortSignal): Promise<void> {
    const { clock, random, logger } = this.#deps;
    let attempt = 0;
    let misses = 0;
    let misunderstandings = 0;
    let wasHurried = false;
    while (!signal.aborted) {
      const ending = await this.#converse(handlers, signal);
      this.#lastEnding = ending.kind;
      if (signal.aborted) return;
      this.#stranger = ending.kind === 'not-reached' ? ending.stranger : undefined;
      if (ending.kind === 'lost' && ending.wasWelcomed) {
        attempt = 0;
        wasHurried = false;
      }
      misses = ending.kind === 'not-reached' ? misses + 1 : 0;
      misunderstandings = ending.kind === 'not-understood' ? misunderstandings + 1 : 0;
      const wait = await this.#judge(ending, { misses, misunderstandings }, handlers);
      if (this.#isHurried) {
        await clock.sleep(wasHurried ? RENEW_PAUSE_MS : 0, signal);
        wasHurried = true;
        continue;
      }
      attempt += 1;
      wasHurried = false;
      const soonMs = (): number => Math.min(fullJitter(attempt - 1, RECONNECT, random), this.#justWoke ? AWAKE_PAUSE_MS : RECONNECT.capMs);
      const waitMs = wait === 'at-once' ? 0 : wait === 'soon' ? soonMs() : this.#slowly(attempt - 1);
      logger.debug('connecting again', { waitMs });
      const waiting = AbortSignal.any([signal, this.#hurry.signal]);
      if (wait === 'slowly' && this.#deps.hasNewToken !== undefined) await this.#waitForReason(waitMs, waiting);
      else await clock.sleep(waitMs, waiting);
    }
  }

  /** A token that is there is used at once, however long this agent was refused before. */
  async #waitForReason(waitMs: number, signal: AbortSignal): Promise<void> {
    const { clock, hasNewToken } = this.#deps;
    for (let left = waitMs; left > 0 && !signal.aborted; left -= REASON_LOOK_MS) {
      await clock.sleep(Math.min(left, REASON_LOOK_MS), signal);
      if ((await hasNewToken?.()) === true) return;
    }
  }

  #slowly(attempt: number): number {
    const { slowRetryMs, random } = this.#deps;
    return slowRetryMs + fullJitter(attempt, { baseMs: slowRetryMs, capMs: SLOW_CAP_MS }, random);
  }

  async #judge(ending: Ending, { misses, misunderstandings }: TriesInVain, handlers: ConnectionHandlers): Promise<'at-once' | 'soon' | 'slowly'> {
    const { logger, serverUrl } = this.#deps;
    if (ending.kind === 'refused') {
      this.#refusal = { code: ending.code, message: ending.message };
      logger.error('the server refuses this agent; trying again slowly', { closeCode: ending.closeCode, code: ending.code, reason: ending.message });
      return (await handlers.refused(ending)) ? 'at-once' : 'slowly';
    }
    if (ending.kind === 'not-understood') return misunderstandings <= QUICK_TRIES ? 'soon' : 'slowly';
    if (ending.kind === 'lost') logger.info('the connection ended; connecting again', { closeCode: ending.closeCode });
    // One log line per ten tries: a server may be away for a weekend.
    else logger[misses % 10 === 1 ? 'warn' : 'debug']('the server cannot be reached; trying again', { serverUrl, why: ending.why });
    return 'soon';
  }

  /** A socket through the proxy; undefined: there is no proxy. */
  async #tunnel(timeoutMs: number, signal: AbortSignal): Promise<Socket | undefined> {
    const { proxy, serverUrl } = this.#deps;
    if (proxy === undefined) return undefined;
    this.#tunneling = new AbortController();
    return await openTunnel(proxy, new URL(serverUrl), AbortSignal.any([signal, this.#tunneling.signal, AbortSignal.timeout(timeoutMs)]));
  }

  /** Also ends a connection that is still being made, perhaps over a network that is gone. */
  #leave(): void {
    this.#tunneling?.abort(new Error('replaced by a new connection'));
    this.#socket?.terminate();
  }

  /** One connection from its beginning to its end. */
  async #converse(handlers: ConnectionHandlers, signal: AbortSignal): Promise<Ending> {
    const { serverUrl, clock, logger } = this.#deps;
    const { WebSocket } = await import('ws');
    const handshakeMs = this.#isHurried || this.#justWoke ? HURRIED_HANDSHAKE_MS : HANDSHAKE_MS;
    let tunnel: Socket | undefined;
    try {
      tunnel = await this.#tunnel(handshakeMs, signal);
    } catch (error) {
      return { kind: 'not-reached', why: describeError(error), stranger: error instanceof ProxyRefused ? error.message : undefined };
    }
    if (signal.aborted) {
      tunnel?.destroy();
      return { kind: 'lost', closeCode: 1001, wasWelcomed: false };
    }
    const socket = new WebSocket(agentSocketUrl(serverUrl), {
      maxPayload: MAX_FRAME_BYTES,
      perMessageDeflate: false,
      handshakeTimeout: handshakeMs,
      ...(tunnel === undefined ? {} : { createConnection: () => tunnel }),
    });
    this.#socket = socket;
    let nonce: string | undefined;
    let refusal: Refusal | undefined;
    let failure = '';
    let stranger: string | undefined;
    let wasOpen = false;
    let wasWelcomed = false;
    let isUnderstood = true;
    let silentBeats = 0;

    const reject = (why: string): void => {
      isUnderstood = false;
      if (nonce === undefined) {
        // A server of Floe begins with a challenge.
        socket.close();
        return;
      }
      logger.error('the server broke the protocol: is it newer than this agent? Closing the connection, and trying again', {
        why: why.slice(0, 300),
      });
      socket.close(CLOSE_CODES.badMessage, 'bad message');
    };
    const take = (frame: string): void => {
      if (!isUnderstood || this.noticeSleep()) return;
      const parsed = parseFrame(ServerMessage, frame);
      if (parsed.kind === 'malformed') {
        reject(parsed.why);
        return;
      }
      const message = parsed.message;
      if (message.type === 'refusal') {
        refusal = message;
      } else if (message.type === 'challenge') {
        if (nonce !== undefined) {
          reject('a second challenge');
          return;
        }
        nonce = message.nonce;
        handlers.hello(nonce).then(
          (hello) => socket.readyState === socket.OPEN && socket.send(JSON.stringify(hello)),
          (error: unknown) => {
            logger.error('the hello could not be made', { error });
            socket.terminate();
          },
        );
      } else if (message.type === 'welcome') {
        if (nonce === undefined) {
          reject('a welcome before the challenge');
          return;
        }
        wasWelcomed = true;
        clearTimeout(handshake);
        this.#since = clock.now();
        this.#refusal = null;
        this.#stranger = undefined;
        this.#welcomed = { socket, nonce, serverTime: message.serverTime, at: clock.sinceBoot(), takesSigned: message.signedReports === true };
        logger.info('connected', { serverUrl });
        handlers.welcomed(message);
      } else if (nonce === undefined || !wasWelcomed) {
        reject(`${message.type} before the welcome`);
      } else if (message.type === 'directive') {
        handlers.directive(message.envelope, nonce);
      } else if (message.type === 'stage') {
        handlers.stage(message.envelope, nonce);
      } else if (message.type === 'go') {
        handlers.go(message.epoch, message.leaseMs);
      } else {
        handlers.acknowledged(message.seq);
      }
    };

    const handshake = setTimeout(() => {
      failure = `the server did not welcome this agent within ${timeLimit(handshakeMs)}`;
      socket.terminate();
    }, handshakeMs);
    const heartbeat = setInterval(() => {
      silentBeats += 1;
      // After a change of networks or a sleep, the socket can look alive for hours.
      if (silentBeats > 3) socket.terminate();
      else if (socket.readyState === socket.OPEN) socket.ping();
    }, HEARTBEAT_MS);
    const onAbort = (): void => {
      socket.close(1001, 'the agent stops');
      setTimeout(() => socket.terminate(), 1_000).unref();
    };
    signal.addEventListener('abort', onAbort, { once: true });

    try {
      return await new Promise<Ending>((resolve) => {
        socket.on('open', () => (wasOpen = true));
        socket.on('ping', () => (silentBeats = 0));
        socket.on('pong', () => (silentBeats = 0));
        socket.on('message', (data, isBinary) => {
          silentBeats = 0;
          if (isBinary || !Buffer.isBuffer(data)) reject('not a text frame');
          else take(data.toString('utf8'));
        });
        socket.on('error', (error) => {
          failure = error.message;
          stranger = describeStranger(error);
          if (wasOpen) logger.warn('the connection is broken', { error });
        });
        socket.on('close', (code, reason) =>
          resolve(
            endingOf({
              code,
              reason: reason.toString('utf8'),
              refusal,
              wasChallenged: nonce !== undefined,
              wasWelcomed,
              isUnderstood,
              failure,
              stranger,
            }),
          ),
        );
      });
    } finally {
      if (this.#welcomed !== undefined) this.#since = clock.now();
      this.#welcomed = undefined;
      clearTimeout(handshake);
      clearInterval(heartbeat);
      signal.removeEventListener('abort', onAbort);
    }
  }
}
