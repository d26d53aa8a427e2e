import { fitDescription } from '@floe/forge';
import { openMirror, type GitMirror } from '@floe/git';
import { TRIAL_CONTEXT } from '@floe/model';
import type { Clock, Logger } from '@floe/runtime';
import { describeTesting } from '@floe/views';
import type { TestingDeps } from '../testing-branches/testing-deps.ts';
import type { Completing } from './submodules-of.ts';
import type { BuilderConfig } from './builder-config.ts';
import { dataPaths } from './data-paths.ts';

export interface TestingMirrorDeps {
  readonly config: BuilderConfig;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Default: mirrors are as they are. */
  readonly completing?: Completing;
}

/**
 * Git and the forge for testing branches. Their objects are in a mirror of their own: whoever may push to such a branch can neither damage
 * nor hold up the tracked one's.
 */
export async function openTesting(
  { config, clock, logger, completing = (mirror) => mirror }: TestingMirrorDeps,
  repositoryId: string,
  tracked: string,
): Promise<TestingDeps & AsyncDisposable> {
  const { repository, publicUrl, forge } = config;
  const dir = dataPaths(config.dataDir).testingMirror;
  const open = async (branch: string): Promise<GitMirror> => completing(await openMirror({ ...repository, branch, dir, logger }), dir);
  // Starts its thread with the first call.
  const listing = await open(tracked);
  return {
    limit: repository.testingBranches,
    branches: async (folder, signal) => await listing.branches(folder, signal),
    open,
    async tell(store, sha, status) {
      if (forge === undefined) return;
      const { state, description } = describeTesting(status);
      const targetUrl = status.kind === 'no-host' ? publicUrl : `${publicUrl}/#/hosts/${status.host}`;
      const wanted = { repositoryId, sha, context: TRIAL_CONTEXT, state, description: fitDescription(description), targetUrl, now: clock.now() };
      await store.outbox.putAll([wanted]);
    },
    [Symbol.asyncDispose]: async () => await listing[Symbol.asyncDispose](),
  };
}
