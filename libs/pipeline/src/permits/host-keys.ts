import { HostName, PublicKey } from '@floe/protocol';
import { readFileIfPresent, writeFileDurably } from '@floe/runtime';
import type { StorePart } from '@floe/store';
import * as v from 'valibot';

/** Pairs, one on each line. */
const HostKeysFile = v.array(v.strictTuple([HostName, PublicKey]));

/**
 * The keys of hosts as this builder saw them first, in a file of its own. A server that is taken over later can enrol whom it likes, and the
 * builder goes on believing the machines that it knew.
 */
export class HostKeys {
  readonly #path: string;
  readonly #store: StorePart<{ hosts: 'list' }>;
  #known: ReadonlyMap<HostName, string> | undefined;
  #learning: Promise<void> | undefined;

  constructor(path: string, store: StorePart<{ hosts: 'list' }>) {
    this.#path = path;
    this.#store = store;
  }

  /** Of a host that it does not know yet, the one that it has now. */
  async of(repositoryId: string, host: HostName): Promise<string | undefined> {
    const known = (await this.#all()).get(host);
    if (known !== undefined) return known;
    await this.learn(repositoryId);
    return (await this.#all()).get(host);
  }

  /** Notes the keys of hosts that it does not know yet. */
  async learn(repositoryId: string): Promise<void> {
    await (this.#learning ??= this.#learn(repositoryId).finally(() => (this.#learning = undefined)));
  }

  async #learn(repositoryId: string): Promise<void> {
    const known = await this.#all();
    const rows = await this.#store.hosts.list(repositoryId);
    const news = rows.flatMap(({ host, publicKey, revokedAt }) =>
      known.has(host) || revokedAt !== undefined || !v.is(PublicKey, publicKey) ? [] : [[host, publicKey] as const],
    );
    if (news.length === 0) return;
    const all = new Map([...known, ...news]);
    await writeFileDurably(this.#path, `[\n${[...all].map((pair) => JSON.stringify(pair)).join(',\n')}\n]\n`);
    this.#known = all;
  }

  /** A file that cannot be read stops it: without its own record it would believe the database. */
  async #all(): Promise<ReadonlyMap<HostName, string>> {
    if (this.#known !== undefined) return this.#known;
    const text = await readFileIfPresent(this.#path);
    const parsed = text === undefined ? [] : v.parse(v.pipe(v.string(), v.parseJson(), HostKeysFile), text);
    return (this.#known = new Map(parsed));
  }
}
