import type { WebSocket } from 'ws';

/** A connection on which the server has welcomed this agent. */
export interface Welcomed {
  readonly socket: WebSocket;
  readonly nonce: string;
  readonly serverTime: number;
  /** By the machine's uptime. */
  readonly at: number;
  readonly takesSigned: boolean;
}
