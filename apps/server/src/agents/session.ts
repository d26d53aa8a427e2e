import { once } from 'node:events';
import type { HostName } from '@floe/model';
import { CLOSE_CODES, type ServerMessage } from '@floe/protocol';
import type { WebSocket } from 'ws';

/** A socket that holds this much unsent data is closed: its reader is too slow or gone. */
const MAX_BUFFERED_BYTES = 1024 * 1024;
/** How long the other side has to answer a close. */
const CLOSE_GRACE_MS = 2_000;

/** One authenticated connection of one host. */
export interface AgentSession {
  readonly id: string;
  readonly host: HostName;
  readonly machineId: string;
  readonly bootId: string;
  /** Of this connection's challenge; every directive sent on it carries it. */
  readonly nonce: string;
  readonly socket: AgentSocket;
  /** Highest epoch offered on this connection. */
  offeredEpoch: number;
}

/** A WebSocket with a heartbeat and a bound on what waits to be sent. */
export class AgentSocket {
  readonly #socket: WebSocket;
  #isAlive = true;
  #silentBeats = 0;

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on('pong', () => this.touch());
  }

  /** Notes that the other side was heard. */
  touch(): void {
    this.#silentBeats = 0;
  }

  /** Called with every heartbeat: pings, and cuts a socket that was silent for three beats (it only looks alive). */
  beat(): void {
    if (!this.#isAlive) return;
    this.#silentBeats += 1;
    if (this.#silentBeats > 3) this.#socket.terminate();
    else this.#socket.ping();
  }

  send(message: ServerMessage): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    if (this.#socket.bufferedAmount > MAX_BUFFERED_BYTES) {
      void this.close(CLOSE_CODES.tooSlow, 'too slow');
      return;
    }
    this.#socket.send(JSON.stringify(message));
  }

  /** Says why, then closes; cuts the connection when the other side does not answer the close. Resolves when it is closed. */
  async close(code: number, reason: string): Promise<void> {
    if (!this.#isAlive) return;
    this.#isAlive = false;
    const closed = once(this.#socket, 'close');
    this.#socket.close(code, reason.slice(0, 100));
    const late = setTimeout(() => this.#socket.terminate(), CLOSE_GRACE_MS);
    await closed;
    clearTimeout(late);
  }
}
