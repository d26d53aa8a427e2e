import { isFloeError } from '@floe/runtime';
import type { Revision } from '@floe/store';
import type { PipelineDeps } from './deps.ts';

/**
 * Why nothing of the revision may be released: its commit is in the history of the newest one that this builder released, and its number is
 * higher. No push leads there but one that sets the branch back, and then it is the branch's head. Whoever owns the database names it so because
 * hosts take a higher number without a permit. Undefined: it may be, or the database is believed.
 */
export async function overtaken(
  { mirror, newestReleased }: Pick<PipelineDeps, 'mirror' | 'newestReleased'>,
  { sha, sequence, handoverId }: Pick<Revision, 'sha' | 'sequence' | 'handoverId'>,
): Promise<string | undefined> {
  const newest = await newestReleased?.();
  if (newest === undefined || handoverId !== undefined || sequence <= newest.sequence || sha === newest.commit) return undefined;
  // The branch may have been rewritten since.
  const isEarlier = await mirror.contains(newest.commit, sha).catch((error: unknown) => {
    if (isFloeError(error, 'COMMIT_NOT_FOUND')) return false;
    throw error;
  });
  if (isEarlier !== true || (await mirror.head()) === sha) return undefined;
  return (
    `it is older than ${newest.commit.slice(0, 10)} (revision #${newest.sequence}), which was released already: ` +
    'to go back to it push a commit that reverts what came after it, or pin the hosts'
  );
}
