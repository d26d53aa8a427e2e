import type { Clock } from '@floe/runtime';
import type { Connection } from './connection.ts';
import { isNetworkThere } from './network.ts';

/** What is known of the connection to the server. */
export type ServerContact =
  /** Connected, and the newest directive's keys, host and repository are those of this system. */
  | 'trusted'
  /** Connected, but this system pins other keys, another host or another repository: it would never take a directive. */
  | 'refused'
  /** Connected, and no directive was judged yet. An idle server neither confirms nor refutes our keys. */
  | 'silent'
  /** Not connected. */
  | 'away';

/** What a new connection shows. */
export type Contact =
  /** See {@link ServerContact}; `refused`: also when the server closed the connection permanently. */
  | Exclude<ServerContact, 'away'>
  /** The server cannot be reached, but one of the caches answers. */
  | 'network'
  /** Neither the server nor a cache answers. */
  | 'none';

export interface ContactDeps {
  readonly connection: Connection;
  readonly substituters: readonly string[];
  readonly clock: Clock;
}

/** How often a new connection is looked at for its first directive, in ms. */
const LOOK_MS = 10;

/** Finds out whether this system can still be steered by its server. */
export class ContactCheck {
  readonly #deps: ContactDeps;
  /** Whether the newest directive can be trusted, and which connection brought it. */
  #judged: { readonly nonce: string; readonly isTrusted: boolean } | undefined;

  constructor(deps: ContactDeps) {
    this.#deps = deps;
  }

  noteJudgement(nonce: string, isTrusted: boolean): void {
    this.#judged = { nonce, isTrusted };
  }

  /**
   * By the directive of the present connection, as the server repeats it on each: a system with wrong pins would refuse all
   * that come, and no push could mend that.
   */
  get current(): ServerContact {
    const { connection } = this.#deps;
    if (!connection.isWelcomed) return 'away';
    if (this.#judged === undefined || this.#judged.nonce !== connection.nonce) return 'silent';
    return this.#judged.isTrusted ? 'trusted' : 'refused';
  }

  /** Makes a new connection, and waits up to `timeoutMs` for it and its directive. */
  async renew(timeoutMs: number, signal: AbortSignal): Promise<Contact> {
    const { clock, connection, substituters } = this.#deps;
    const deadline = clock.monotonic() + timeoutMs;
    const renewed = await connection.renew(timeoutMs, signal);
    if (renewed === 'refused') return 'refused';
    if (renewed !== 'welcomed') return (await isNetworkThere(substituters, signal)) ? 'network' : 'none';
    while (!signal.aborted && clock.monotonic() < deadline) {
      const { current } = this;
      if (current === 'trusted' || current === 'refused') return current;
      await clock.sleep(LOOK_MS, signal);
    }
    return 'silent';
  }
}
