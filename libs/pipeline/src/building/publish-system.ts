import { MAX_SUBMITTED_BYTES, type HostName, type StorePath } from '@floe/model';
import { bestEffort } from '../best-effort.ts';
import { buildRoot, submittedRootsDir, tidyBuildRoots } from './build-roots.ts';
import type { PublishedHost } from './publish-hosts.ts';
import type { PipelineDeps } from '../deps.ts';
import { publishClosures } from './publish-closures.ts';

export type PublishSystemDeps = Pick<PipelineDeps, 'store' | 'nix' | 'cache' | 'logger' | 'rootsDir'>;

type PublishedSystem = { readonly kind: 'published'; readonly published: PublishedHost } | { readonly kind: 'refused'; readonly why: string };

const GIB = 1024 ** 3;

/**
 * Takes in a system that Floe did not build, by its store path: from the server's own store to the cache; or as it lies in the cache, where the
 * cache's key signed all of it. Runs nothing of it, and can be repeated. The result is what a release of it says. `rootsDir`: where the GC root goes
 * that keeps it. Throws retryable errors.
 */
export async function publishSystem(
  deps: PublishSystemDeps,
  { repositoryId, host, toplevel }: { readonly repositoryId: string; readonly host: HostName; readonly toplevel: StorePath },
  signal: AbortSignal,
  rootsDir = submittedRootsDir(deps.rootsDir),
): Promise<PublishedSystem> {
  const { store, nix, cache, logger } = deps;
  const found = await nix.findSystem(toplevel, { cacheUrls: cache.urls, signal });
  if (found.kind === 'absent')
    return { kind: 'refused', why: 'it is neither in the store of the server nor in the cache: copy it there first, with nix copy --to' };
  if (found.kind === 'not-nixos') return { kind: 'refused', why: `it is no NixOS system: ${found.why}` };
  if (found.closureSizeBytes > MAX_SUBMITTED_BYTES)
    return {
      kind: 'refused',
      why: `with all that it needs it has ${Math.ceil(found.closureSizeBytes / GIB)} GiB, of ${MAX_SUBMITTED_BYTES / GIB} at most`,
    };
  if (found.isHere) await nix.addRoot(buildRoot(rootsDir, host, toplevel), toplevel);
  const published = (await publishClosures(deps, [toplevel], { signal, isThere: !found.isHere })).get(toplevel);
  if (found.isHere)
    await bestEffort(
      logger,
      'removing the GC roots of older systems',
      undefined,
      async () => await tidyBuildRoots(store, rootsDir, repositoryId, [host]),
    );
  if (published === undefined) return { kind: 'refused', why: 'the cache does not have it' };
  const { narHash, closureSizeBytes } = published;
  return { kind: 'published', published: { host, toplevel, system: found.system, narHash, closureSizeBytes } };
}
