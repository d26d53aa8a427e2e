import type { PipelineDeps } from './deps.ts';

/**
 * The newest commit failed, and nothing is under way: the newest good one before it goes on, if the branch still has it (SPEC R36). True: one
 * does. Its steps judge again whether it is good.
 */
export async function takeUpReplaced(deps: Pick<PipelineDeps, 'store' | 'mirror' | 'clock' | 'logger'>, repositoryId: string): Promise<boolean> {
  const { store, mirror, clock, logger } = deps;
  for (const { id, sha, after, state } of await store.revisions.replaced(repositoryId)) {
    const { acceptedCommit } = await store.repositories.get(repositoryId);
    if (acceptedCommit === undefined || (await mirror.contains(acceptedCommit, sha)) !== true) continue;
    const at = clock.now();
    const detail = `goes on, because ${after.slice(0, 10)}, which had replaced it, is ${state}`;
    const isTaken = await store.decide(async ({ revisions }) => {
      const result = await revisions.takeUp(repositoryId, id, at);
      return { result, entries: result ? [{ at, actor: 'floe', action: 'take-up', subject: sha, detail }] : [] };
    });
    if (isTaken) logger.info('a commit goes on that a newer one had replaced, because that one failed', { commit: sha, newer: after, state });
    return isTaken;
  }
  return false;
}
