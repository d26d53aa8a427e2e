import type { StorePath } from '@floe/model';
import type { PublishedPath } from '@floe/nix';
import { isFloeError, narrow, type Culprit } from '@floe/runtime';
import type { PipelineDeps } from '../deps.ts';
import { publishClosures } from './publish-closures.ts';

/** Errors that one closure can cause. A full disk, a stopped Nix and a store that is away concern all. */
const THEIRS: ReadonlySet<string> = new Set(['NIX_FAILED', 'CACHE_PATH_UNSIGNED']);
/** So many fail alone, and none has succeeded: then it is the cache. */
const ALL_FAIL = 3;
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
): Promise<PublishedApart> {
  const published = new Map<StorePath, PublishedPath>();
  let failedAlone = 0;
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
      for (const [path, info] of await publishClosures(deps, some, signal)) published.set(path, info);
    } catch (error) {
      if (some.length === 1) failedAlone += 1;
      // Before others are tried, each of which waits for an answer as long as this one did.
      if (isTheirs(error) && !isAsked) {
        isAsked = true;
        isAway = (await answers()) === false;
      }
      throw error;
    }
  }
  const isTheirs = (error: unknown): boolean =>
    isFloeError(error) && THEIRS.has(error.code) && !signal.aborted && !isAway && (published.size > 0 || failedAlone < ALL_FAIL);

  // However many there are: a host that could be published is not refused with them.
  const refused = await narrow([...new Set(paths)], attempt, isTheirs, paths.length);
  // It may have gone away meanwhile.
  if (refused[0] !== undefined && (await answers()) !== true) throw refused[0].error;
  return { published, refused };
}

async function canReadBack(deps: Pick<PipelineDeps, 'nix' | 'cache' | 'logger'>, path: StorePath, signal: AbortSignal): Promise<boolean> {
  try {
    return (await publishClosures(deps, [path], signal, true)).has(path);
  } catch (error) {
    if (!isFloeError(error)) throw error;
    deps.logger.debug('the cache does not have a closure that it had', { error });
    return false;
  }
}
