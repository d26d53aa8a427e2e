import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { addressGroup, Crowd } from '@floe/runtime';

export interface ConnectionLimits {
  /** So many connections may be open without a request; one more, and the oldest of the busiest address is cut. */
  readonly maxWaiting: number;
  /** How often answers that are being sent are looked at. */
  readonly lookMs: number;
  /** An answer that waits for its reader has to move by this much from look to look. */
  readonly minProgressBytes: number;
}

/** 1 KiB a second. */
const LIMITS: ConnectionLimits = { maxWaiting: 2_000, lookMs: 15_000, minProgressBytes: 15 * 1024 };

export interface ConnectionWatch extends Disposable {
  /** Cuts answers that did not move since the last look. @uncalled Tests look at times of their own. */
  look(): void;
}

/**
 * Bounds what a connection costs while it does nothing: those without a request are a crowd with a limit, and an answer
 * that nobody reads is cut. It holds for every route, so that none has to think of it.
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
  // From then on it is the hub's.
  server.on('upgrade', ({ socket }: IncomingMessage) => waiting.leave(socket));

  function look(): void {
    for (const [response, before] of answering) {
      const { socket } = response;
      if (socket === null) continue;
      const now = sendingOf(socket);
      // The same write is on its way as before: what is left of it tells how far it came.
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
  /** Bytes of writes that are done. */
  readonly written: number;
  /** Bytes of the one that is being done that the system has not taken. */
  readonly queued: number;
}

function sendingOf(socket: Socket): Sending {
  // An answer in one piece is one write, however long it takes. That Node's own timeouts look here is all that it says of it.
  const { _handle: handle } = socket as Socket & { readonly _handle?: { readonly writeQueueSize?: number } | null };
  return { written: socket.bytesWritten - socket.writableLength, queued: handle?.writeQueueSize ?? 0 };
}
