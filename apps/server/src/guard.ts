import type { EventEmitter } from 'node:events';

/**
 * Gives what comes from outside (a connection, a request, a response, a WebSocket) an end for its errors, the moment it
 * exists and for as long as it does: an `error` that nobody listens for ends the process. Who works with it finds out by
 * its `close`.
 */
export function guardErrors(emitter: EventEmitter, note: (error: unknown) => void): void {
  emitter.on('error', note);
}
