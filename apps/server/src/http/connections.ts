import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { addressGroup, Crowd } from '@floe/runtime';

export interface ConnectionLimits {
  /** Maximum number of connections without a request. Beyond it the oldest of the busiest address is cut. */
  readonly maxWaiting: number;
  /** Interval of the checks of answers that are being sent. */
  readonly lookMs: number;
  /** A waiting answer must progress by this much from check to check. */
  readonly minProgressBytes: number;
}

/** 1 KiB a second. */
const LIMITS: ConnectionLimits = { maxWaiting: 2_000, lookMs: 15_000, minProgressBytes: 15 * 1024 };

export interface ConnectionWatch extends Disposable {
  /** Cuts answers without progress since the last check. @uncalled Tests check at times of their own. */
  look(): void;
}

/**
 * Limits the cost of idle connections: those without a request are limited in number, and an answer that nobody reads is cut. It
 * holds for every route.
 */
export function watchConnections(server: Server, limits: ConnectionLimits = LIMITS): ConnectionWatch {
  const waiting = new Crowd<Socket>(limits.maxWaiting);
  const answering = new Map<ServerResponse, Sending>();

  function wait(socket: Socket): void {
    if (!socket.destroyed) waiting.join(socket, addressGroup(socket.remoteAddress))?.destroy();
  }
  server.on('connection', (socket: Socket) => {
    wait(socket);
    socket.once('close', () => waiting.leave(socket));
  });
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    const { socket } = request;
    waiting.leave(socket);
    answering.set(response, { written: 0, queued: 0 });
    response.once('close', () => {
      answering.delete(response);
      wait(socket);
    });
  });
  // From then on the hub handles it.
  server.on('upgrade', ({ socket }: IncomingMessage) => waiting.leave(socket));

  function look(): void {
    for (const [response, before] of answering) {
      const { socket } = response;
      if (socket === null) continue;
      const now = sendingOf(socket);
      // The same write is still under way: what is left of it shows its progress.
      const progress = now.written === before.written ? before.queued - now.queued : now.written - before.written;
      if (socket.writableLength > 0 && before.queued > 0 && progress < limits.minProgressBytes) socket.destroy();
      answering.set(response, now);
    }
  }
  const looking = setInterval(look, limits.lookMs);
  looking.unref();
  return { look, [Symbol.dispose]: () => clearInterval(looking) };
}

interface Sending {
  /** Bytes of finished writes. */
  readonly written: number;
  /** Bytes of the current write that the system has not accepted yet. */
  readonly queued: number;
}

function sendingOf(socket: Socket): Sending {
  // An answer in one piece is a single write, however long it takes. Node's own timeout checks show whether it progresses.
  const { _handle: handle } = socket as Socket & { readonly _handle?: { readonly writeQueueSize?: number } | null };
  return { written: socket.bytesWritten - socket.writableLength, queued: handle?.writeQueueSize ?? 0 };
}
