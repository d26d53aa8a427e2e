import type { IncomingMessage, RequestListener } from 'node:http';
import type { Duplex } from 'node:stream';

/** Requests of one connection that wait for their answers. Browsers and proxies send one at a time. */
const MAX_IN_FLIGHT = 8;

/**
 * Cuts a connection that sends many requests without waiting for answers: Node passes on all requests of one read, hundreds of
 * them, and all would be processed at the same time.
 */
export function boundPipelining(listener: RequestListener): RequestListener {
  const inFlight = new WeakMap<Duplex, number>();
  return (request: IncomingMessage, response) => {
    const { socket } = request;
    // Requests that were read together with the excess one still arrive.
    if (socket.destroyed) return;
    const count = (inFlight.get(socket) ?? 0) + 1;
    if (count > MAX_IN_FLIGHT) {
      socket.destroy();
      return;
    }
    inFlight.set(socket, count);
    response.once('close', () => inFlight.set(socket, (inFlight.get(socket) ?? 1) - 1));
    listener(request, response);
  };
}
