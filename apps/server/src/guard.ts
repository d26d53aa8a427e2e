import type { EventEmitter } from 'node:events';

/**
 * Attaches an error listener to an input (a connection, a request, a response, a WebSocket) as soon as it exists: an `error`
 * event without a listener ends the process. Its users learn of the error by its `close`.
 */
export function guardErrors(emitter: EventEmitter, note: (error: unknown) => void): void {
  emitter.on('error', note);
}
