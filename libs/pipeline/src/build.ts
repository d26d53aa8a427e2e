import type { HostName, StorePath } from '@floe/model';
import { FloeError } from '@floe/runtime';
import type { Revision } from '@floe/store';
import { bestEffort } from './best-effort.ts';
import { buildRoot, tidyBuildRoots } from './build-roots.ts';
import type { PipelineDeps } from './deps.ts';

/** What one command line holds for sure: the kernel bounds it at 2 MiB. */
const PATHS_PER_COMMAND = 1_000;

/** A host's toplevel as it lies in the cache, read back. */
export interface PublishedHost {
  readonly host: HostName;
  readonly toplevel: StorePath;
  readonly system: string;
  readonly narHash: string;
  readonly closureSizeBytes: number;
}

export type BuildOutcome =
  | { readonly kind: 'published'; readonly hosts: readonly PublishedHost[] }
  | { readonly kind: 'failed'; readonly error: string };

/**
 * Builds what changed, publishes it to the cache and reads it back from there. A host whose build fails is a row with
 * its error and keeps its last release. Throws retryable errors (cache full or away): the step is repeated whole.
 */
export async function buildRevision(deps: PipelineDeps, revision: Revision, signal: AbortSignal): Promise<BuildOutcome> {
  const { store, nix, repositoryNix, cache, limits, clock, logger } = deps;
  const evaluations = await store.revisions.evaluations(revision.id);
  const wanted = evaluations.flatMap(({ host, outcome, drvPath, toplevel, system }) =>
    (outcome === 'CHANGED' || outcome === 'NEW') && drvPath !== undefined && toplevel !== undefined
      ? [{ host, drvPath, toplevel, system: system ?? 'unknown' }]
      : [],
  );

  const built: typeof wanted = [];
  const failed: { readonly host: HostName; readonly error: string }[] = [];
  const queue = [...wanted];
  async function worker(): Promise<void> {
    for (let next = queue.shift(); next !== undefined && !signal.aborted; next = queue.shift()) {
      const { host, drvPath, toplevel } = next;
      const root = buildRoot(deps.rootsDir, host, toplevel);
      const result = await repositoryNix.build({ drvPath, toplevel }, { signal, timeoutMs: limits.buildTimeoutMs, root });
      if (signal.aborted) return;
      if (result.kind === 'built') {
        built.push(next);
        await store.revisions.saveBuilds(revision.id, [{ host, buildMs: Math.round(result.durationMs), builtAt: clock.now() }]);
      } else {
        logger.info('a host does not build', { host, code: result.code });
        failed.push({ host, error: result.error });
      }
    }
  }
  await Promise.all(Array.from({ length: Math.max(1, Math.min(limits.builds, wanted.length)) }, worker));
  if (signal.aborted) throw new FloeError('BUILD_STOPPED', 'the build was stopped', { retryable: true });
  const [first] = failed;
  await store.revisions.saveBuilds(
    revision.id,
    failed.map(({ host, error }) => ({ host, outcome: 'BUILD_ERROR', error })),
  );
  if (built.length === 0 && first !== undefined) return { kind: 'failed', error: `nothing could be built; ${first.host}: ${first.error}` };

  const hosts: PublishedHost[] = [];
  for (let start = 0; start < built.length; start += PATHS_PER_COMMAND) {
    const part = built.slice(start, start + PATHS_PER_COMMAND);
    const paths = part.map(({ toplevel }) => toplevel);
    await nix.publish(paths, { cacheUrl: cache.url, secretKeyFile: cache.secretKeyFile, signal });
    const published = await nix.readBack(cache.url, paths, cache.publicKey);
    for (const { host, toplevel, system } of part) {
      const { narHash, closureSizeBytes } = published.get(toplevel) ?? missing(toplevel);
      await store.revisions.savePublished(revision.id, host, narHash, closureSizeBytes);
      hosts.push({ host, toplevel, system, narHash, closureSizeBytes });
      await bestEffort(logger, 'letting go of older systems', undefined, async () => await tidyBuildRoots(deps.rootsDir, host));
    }
  }
  return { kind: 'published', hosts };
}

function missing(toplevel: StorePath): never {
  throw new FloeError('CACHE_PATH_MISSING', `${toplevel} was published, but the cache does not have it`, { retryable: true });
}
