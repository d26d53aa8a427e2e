import type { HostName } from '@floe/model';
import type { CommitName, HostView } from '@floe/protocol';
import type { CommitOfSystem, PlainStore } from '@floe/store';

/** The commits that hosts run, and should run. Looked up once per host, and again when its systems change. */
export class CommitNames {
  readonly #releases: Pick<PlainStore['releases'], 'commitsOf'>;
  readonly #known = new Map<HostName, { readonly key: string; readonly names: ReadonlyMap<string, CommitName> }>();

  constructor(releases: Pick<PlainStore['releases'], 'commitsOf'>) {
    this.#releases = releases;
  }

  /** The same hosts, with their commits filled in. */
  async name(hosts: readonly HostView[]): Promise<HostView[]> {
    const unknown = hosts.filter((host) => this.#known.get(host.host)?.key !== keyOf(host));
    const systems = unknown.flatMap(({ host, desired, observed }) =>
      [...new Set([desired?.toplevel, observed.current])].flatMap((toplevel) => (toplevel == null ? [] : [{ host, toplevel }])),
    );
    const found = Map.groupBy(systems.length === 0 ? [] : await this.#releases.commitsOf(systems), ({ host }) => host);
    for (const host of unknown) {
      const names = new Map((found.get(host.host) ?? []).map((each) => [each.toplevel, commitName(each)]));
      this.#known.set(host.host, { key: keyOf(host), names });
    }
    return hosts.map((host) => {
      const names = this.#known.get(host.host)?.names;
      const { desired, observed } = host;
      const wanted = desired === null ? undefined : names?.get(desired.toplevel);
      return {
        ...host,
        runs: (observed.current === null ? undefined : names?.get(observed.current)) ?? null,
        // A later release of the same system is not the one that it got.
        desired: desired === null ? null : { ...desired, subject: wanted?.commit === desired.commit ? (wanted.subject ?? null) : null },
      };
    });
  }
}

export function commitName({ commit, sequence, subject }: CommitOfSystem): CommitName {
  return { commit, sequence, subject: subject ?? null };
}

/** Includes the sequence: a new release can have a system that the host had before. */
function keyOf({ desired, observed }: HostView): string {
  return `${desired?.toplevel} ${desired?.sequence} ${observed.current}`;
}
