import type { Contact, NetworkBefore, StorePath, Whereabouts } from '@floe/model';
import type { Clock } from '@floe/runtime';
import type { Connection } from './connection.ts';
import { whoAnswers, type WhoAnswers } from './network.ts';

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

export interface ContactDeps {
  readonly connection: Connection;
  readonly serverUrl: string;
  readonly substituters: readonly string[];
  /** See {@link isBesideRouter}. */
  readonly isBesideRouter: (routers: readonly string[]) => Promise<boolean>;
  readonly clock: Clock;
}

/** What a new connection shows, and who answered in place of the server and the caches, in words; null: nobody did. */
export interface FoundContact {
  readonly contact: Contact;
  readonly stranger: string | null;
}

const CONTACT_OF = { cache: 'network', other: 'elsewhere', nobody: 'none' } as const satisfies Record<WhoAnswers['kind'], Contact>;
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

  /** Who answers where the caches are, also when they are asked for the path `about`, or else where the server is. */
  async whoAnswers(signal: AbortSignal, about?: StorePath): Promise<WhoAnswers> {
    const { serverUrl, substituters, connection } = this.#deps;
    const answer = await whoAnswers({ serverUrl, substituters, about }, signal);
    const { stranger } = connection;
    return answer.kind === 'nobody' && stranger !== undefined ? { kind: 'other', url: serverUrl, who: stranger } : answer;
  }

  /** Where the machine is while it has no connection. */
  async whereabouts(before: NetworkBefore | undefined, signal: AbortSignal): Promise<Whereabouts> {
    const { kind } = await this.whoAnswers(signal);
    if (kind !== 'other') return kind === 'cache' ? 'network' : 'nowhere';
    return (await this.#deps.isBesideRouter(before?.routers ?? [])) ? 'same-elsewhere' : 'other-elsewhere';
  }

  /** Makes a new connection, and waits up to `timeoutMs` for it and its directive. */
  async renew(timeoutMs: number, signal: AbortSignal): Promise<FoundContact> {
    const { clock, connection } = this.#deps;
    const deadline = clock.monotonic() + timeoutMs;
    const renewed = await connection.renew(timeoutMs, signal);
    if (renewed === 'refused') return { contact: 'refused', stranger: null };
    if (renewed !== 'welcomed') {
      const answer = await this.whoAnswers(signal);
      return { contact: CONTACT_OF[answer.kind], stranger: answer.kind === 'other' ? `${answer.who}, in place of ${answer.url}` : null };
    }
    while (!signal.aborted && clock.monotonic() < deadline) {
      const { current } = this;
      if (current === 'trusted' || current === 'refused') return { contact: current, stranger: null };
      await clock.sleep(LOOK_MS, signal);
    }
    return { contact: 'silent', stranger: null };
  }
}
