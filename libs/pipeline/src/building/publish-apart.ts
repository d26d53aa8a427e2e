import type { StorePath } from '@floe/model';
import type { OnPublishing, PublishedPath } from '@floe/nix';
import { isFloeError, narrow, type Culprit } from '@floe/runtime';
import type { PipelineDeps } from '../deps.ts';
import { publishClosures } from './publish-closures.ts';

/** Errors that one closure can cause. A full disk, a stopped Nix and a store or a cache that is away, or does not admit us, concern all. */
const THEIRS: ReadonlySet<string> = new Set([
  'NIX_FAILED',
  'PUBLISH_COMMAND_FAILED',
  'CACHE_PATH_MISSING',
  'CACHE_PATH_REFUSED',
  'CACHE_PATH_UNSIGNED',
]);
/** After so many that failed alone, one after another, the cache is asked again whether it answers. */
const MANY_IN_A_ROW = 3;
/** Known closures that are asked for: the cache may have lost one. */
const MAX_PROBES = 3;

export interface PublishedApart {
  readonly published: ReadonlyMap<StorePath, PublishedPath>;
  /** What cannot be published now, though the cache answers. */
  readonly refused: readonly Culprit<StorePath>[];
}

/**
 * As {@link publishClosures}, where a closure that cannot be published is found, and holds no other. A cache that is away gives the same errors, so
 * they count as the closure's only where the cache has just answered for another one: published now, or of `known`. Else they are thrown, and all is
 * repeated.
 */
export async function publishApart(
  deps: Pick<PipelineDeps, 'nix' | 'cache' | 'logger'>,
  paths: readonly StorePath[],
  known: () => Promise<readonly StorePath[]>,
  signal: AbortSignal,
  onProgress?: OnPublishing,
): Promise<PublishedApart> {
  const published = new Map<StorePath, PublishedPath>();
  let failedInARow = 0;
  let isAway = false;
  let isAsked = false;

  /** Undefined: there is nothing that could be asked for. */
  async function answers(): Promise<boolean | undefined> {
    const others = [...published.keys()].slice(0, 1);
    const asked = new Set([...others, ...(await known()).filter((path) => !paths.includes(path))]);
    for (const path of [...asked].slice(0, MAX_PROBES)) {
      if (await canReadBack(deps, path, signal)) return true;
    }
    return asked.size === 0 ? undefined : false;
  }

  async function attempt(some: readonly StorePath[]): Promise<void> {
    try {
      for (const [path, info] of await publishClosures(deps, some, { signal, onProgress })) published.set(path, info);
      failedInARow = 0;
    } catch (error) {
      if (some.length === 1) failedInARow += 1;
      // Before others are tried, each of which waits for an answer as long as this one did.
      if (isTheirs(error) && (!isAsked || failedInARow >= MANY_IN_A_ROW)) {
        const answer = await answers();
        isAway = answer === false || (isAsked && answer === undefined);
        isAsked = true;
        failedInARow = 0;
      }
      throw error;
    }
  }
  const isTheirs = (error: unknown): boolean => isFloeError(error) && THEIRS.has(error.code) && !signal.aborted && !isAway;

  // However many there are: a host that could be published is not refused with them.
  const refused = await narrow([...new Set(paths)], attempt, isTheirs, paths.length);
  // It may have gone away meanwhile.
  if (refused[0] !== undefined && (await answers()) !== true) throw refused[0].error;
  return { published, refused };
}

async function canReadBack(deps: Pick<PipelineDeps, 'nix' | 'cache' | 'logger'>, path: StorePath, signal: AbortSignal): Promise<boolean> {
  try {
    return (await publishClosures(deps, [path], { signal, isThere: true })).has(path);
  } catch (error) {
    if (!isFloeError(error)) throw error;
    deps.logger.debug('the cache does not have a closure that it had', { error });
    return false;
  }
}
