import type { HostName, StorePath } from '@floe/model';
import type { OnPublishing } from '@floe/nix';
import { describeError } from '@floe/runtime';
import type { Revision } from '@floe/store';
import { bestEffort } from '../best-effort.ts';
import type { PipelineDeps } from '../deps.ts';
import type { Wanted } from './build-queue.ts';
import { tidyBuildRoots, tidyFormerRoots } from './build-roots.ts';
import { publishApart } from './publish-apart.ts';

/** Safely below the kernel's limit for one command line, 2 MiB. */
export const PATHS_PER_COMMAND = 1_000;

/** A host's toplevel, as read back from the cache. */
export interface PublishedHost {
  readonly host: HostName;
  readonly toplevel: StorePath;
  readonly system: string;
  /** The name that its machine had before. */
  readonly formerHost?: HostName | undefined;
  readonly narHash: string;
  readonly closureSizeBytes: number;
}

export interface PublishedHosts {
  readonly published: readonly PublishedHost[];
  /** Hosts whose closures cannot be published now. */
  readonly refused: readonly { readonly wanted: Wanted; readonly error: string }[];
}

/** Copies the closures of these hosts to the cache, and reads them back: all together, as far as none of them stands in the way of the others. */
export async function publishHosts(
  deps: PipelineDeps,
  revision: Revision,
  built: readonly Wanted[],
  signal: AbortSignal,
  onProgress?: OnPublishing,
): Promise<PublishedHosts> {
  const { store, logger } = deps;
  const known = async (): Promise<readonly StorePath[]> => (await store.releases.latest(revision.repositoryId)).map(({ toplevel }) => toplevel);
  const hosts: PublishedHost[] = [];
  const refused: { wanted: Wanted; error: string }[] = [];
  for (let start = 0; start < built.length; start += PATHS_PER_COMMAND) {
    const part = built.slice(start, start + PATHS_PER_COMMAND);
    const paths = part.map(({ toplevel }) => toplevel);
    const apart = await publishApart(deps, paths, known, signal, onProgress);
    const errors = new Map(apart.refused.map(({ item, error }) => [item, describeError(error)]));
    for (const wanted of part) {
      const { host, toplevel, system, formerHost } = wanted;
      const info = apart.published.get(toplevel);
      if (info === undefined) {
        refused.push({ wanted, error: errors.get(toplevel) ?? 'the cache does not have it' });
        continue;
      }
      await store.revisions.savePublished(revision.id, host, info.narHash, info.closureSizeBytes);
      hosts.push({ host, toplevel, system, formerHost, ...info });
    }
    const done = part.filter(({ toplevel }) => apart.published.has(toplevel));
    const names = done.map(({ host }) => host);
    await bestEffort(logger, 'removing the GC roots of older systems', undefined, async () => {
      await tidyBuildRoots(store, deps.rootsDir, revision.repositoryId, names);
      await tidyFormerRoots(store, deps.rootsDir, revision.repositoryId, done);
    });
  }
  return { published: hosts, refused };
}
