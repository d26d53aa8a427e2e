import type { DownloadProgress } from '@floe/nix';
import type { Clock } from '@floe/runtime';
import type { Connection } from './connection.ts';

const EVERY_MS = 500;

/** Tells the server how far a download is, at most twice a second, and not at all while the connection is busy. */
export class ProgressSender {
  readonly #deps: { readonly connection: Connection; readonly clock: Clock };
  #sentAt = Number.NEGATIVE_INFINITY;

  constructor(deps: { readonly connection: Connection; readonly clock: Clock }) {
    this.#deps = deps;
  }

  send(epoch: number, { doneBytes, totalBytes }: DownloadProgress): void {
    const { connection, clock } = this.#deps;
    const now = clock.monotonic();
    if (now - this.#sentAt < EVERY_MS) return;
    this.#sentAt = now;
    connection.send({ type: 'progress', epoch, doneBytes, expectedBytes: totalBytes }, { lossy: true });
  }
}
