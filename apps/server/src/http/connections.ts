import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { addressGroup, Crowd } from '@floe/runtime';

/** So many connections may be open without a request; one more, and the oldest of the busiest address is cut. */
const MAX_WAITING = 2_000;
/** How often answers that are being sent are looked at. */
const LOOK_MS = 15_000;
/** An answer that waits for its reader has to move by this much from look to look, in bytes: 1 KiB a second. */
const MIN_PROGRESS_BYTES = 15 * 1024;

/**
 * Bounds what a connection costs while it does nothing: those without a request are a crowd with a limit, and an answer
 * that nobody reads is cut. It holds for every route, so that none has to think of it.
 */
export function watchConnections(server: Server): Disposable {
  const waiting = new Crowd<Socket>(MAX_WAITING);
  const answering = new Map<ServerResponse, number>();

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
    answering.set(response, 0);
    response.once('close', () => {
      answering.delete(response);
      wait(socket);
    });
  });
  // From then on it is the hub's.
  server.on('upgrade', ({ socket }: IncomingMessage) => waiting.leave(socket));

  const looking = setInterval(() => {
    for (const [response, before] of answering) {
      const { socket } = response;
      if (socket === null) continue;
      const sent = socket.bytesWritten - socket.writableLength;
      if (socket.writableLength > 0 && sent - before < MIN_PROGRESS_BYTES) socket.destroy();
      answering.set(response, sent);
    }
  }, LOOK_MS);
  looking.unref();
  return { [Symbol.dispose]: () => clearInterval(looking) };
}
