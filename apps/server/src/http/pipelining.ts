import type { IncomingMessage, RequestListener } from 'node:http';
import type { Duplex } from 'node:stream';

/** Requests of one connection that wait for their answers. Browsers and proxies send one at a time. */
const MAX_IN_FLIGHT = 8;

/**
 * Cuts a connection that sends request upon request without waiting for answers: Node hands over all that one read has,
 * hundreds of them, and each would be worked on at once.
 */
export function boundPipelining(listener: RequestListener): RequestListener {
  const inFlight = new WeakMap<Duplex, number>();
  return (request: IncomingMessage, response) => {
    const { socket } = request;
    // What was read together with the one that was too many still comes.
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
