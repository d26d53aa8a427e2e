import type { HostName } from '@floe/model';
import { HEARTBEAT_MS, type CLOSE_CODES, type ServerMessage } from '@floe/protocol';
import type { WebSocket } from 'ws';

/** A socket that holds this much unsent data is closed: its reader is too slow or gone. */
const MAX_BUFFERED_BYTES = 1024 * 1024;

export type CloseReason = keyof typeof CLOSE_CODES;

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

  /** Called every {@link HEARTBEAT_MS}: pings, and cuts a socket that was silent for three beats (it only looks alive). */
  beat(): void {
    if (!this.#isAlive) return;
    this.#silentBeats += 1;
    if (this.#silentBeats > 3) this.#socket.terminate();
    else this.#socket.ping();
  }

  send(message: ServerMessage): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    if (this.#socket.bufferedAmount > MAX_BUFFERED_BYTES) {
      this.close(4429, 'too slow');
      return;
    }
    this.#socket.send(JSON.stringify(message));
  }

  /** Says why, then closes; cuts the connection when the other side does not answer the close. */
  close(code: number, reason: string): void {
    if (!this.#isAlive) return;
    this.#isAlive = false;
    this.#socket.close(code, reason.slice(0, 100));
    setTimeout(() => this.#socket.terminate(), 2 * 1000).unref();
  }
}

export { HEARTBEAT_MS };
