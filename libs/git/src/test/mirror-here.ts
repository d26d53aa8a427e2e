import { resolve } from 'node:path';
import { TREE_ADDRESS } from '@floe/model';
import { reveal } from '@floe/runtime';
import { DEFAULT_REPOSITORY_LIMITS } from '../limits.ts';
import { createLocalMirror } from '../local-mirror.ts';
import type { GitMirror, MirrorOptions } from '../mirror.ts';
import { flakeUrl } from '../repository-url.ts';
import { PROBE_BRANCH } from '../probe-commit.ts';
import { TREE_BRANCH } from '../tree-commit.ts';
import { VARIANT_BRANCH } from '../variant.ts';

/** Like `openMirror`, but without a worker thread, which takes longer to start than most tests run. */
export function mirrorHere(options: MirrorOptions & { readonly maxPacks?: number }): GitMirror & { readonly dir: string } {
  const { url, branch, token, logger, directory } = options;
  const dir = resolve(options.dir);
  const mirror = createLocalMirror({
    dir,
    url,
    branch,
    tokenSetting: 'FLOE_REPOSITORY_TOKEN_FILE',
    limits: options.limits ?? DEFAULT_REPOSITORY_LIMITS,
    maxPacks: options.maxPacks,
    warn: (message, fields) => logger.warn(message, fields),
    onProgress: options.onProgress ?? (() => undefined),
    onDefaultBranch: options.onDefaultBranch ?? (() => undefined),
    onAlive: () => undefined,
  });
  const { signal: never } = new AbortController();
  return {
    dir,
    fetch: async (accepted, signal = never) => await mirror.fetch(signal, accepted, token && (await reveal(token))),
    branches: async (folder, signal = never) => await mirror.branches(signal, folder, token && (await reveal(token))),
    accept: async (sha) => await mirror.accept(never, sha),
    commit: async (sha) => await mirror.commit(never, sha),
    contains: async (sha, earlier) => await mirror.contains(never, sha, earlier),
    changedPaths: async (from, to) => await mirror.changedPaths(never, from, to),
    newCommits: async (from, to, most) => await mirror.newCommits(never, from, to, most),
    signedParts: async (sha) => await mirror.signedParts(never, sha),
    inspect: async (sha) => await mirror.inspect(never, sha),
    flakeUrlWithout: async (sha, paths) => flakeUrl(dir, VARIANT_BRANCH, await mirror.without(never, sha, paths), directory),
    flakeUrlOfAnother: async (sha, withFile) => flakeUrl(dir, PROBE_BRANCH, await mirror.probeCommit(never, sha, withFile), directory),
    selfMentions: async (sha) => await mirror.selfMentions(never, sha),
    tree: async (sha, ignored) => {
      const made = await mirror.treeCommit(never, sha, ignored);
      return { sha: made, flakeUrl: `${flakeUrl(dir, TREE_BRANCH, made, directory)}${TREE_ADDRESS}` };
    },
    flakeUrl: (sha) => flakeUrl(dir, branch, sha, directory),
    [Symbol.asyncDispose]: async () => undefined,
  };
}
