import type { CommitSha } from '@floe/model';
import type { RevisionView } from '@floe/protocol';

export const NOW = 1_790_000_000_000;

/** A published revision whose rollout is under way, with `over` in place of what it names. */
export function revisionView(over: Partial<RevisionView> = {}): RevisionView {
  return {
    sha: 'a'.repeat(40) as CommitSha,
    sequence: 7,
    state: 'PUBLISHED',
    error: null,
    subject: 'Add the printer of the second floor',
    author: 'Ada Lovelace',
    receivedAt: NOW - 240_000,
    fetchedAt: NOW - 239_600,
    evaluatedAt: NOW - 236_000,
    builtAt: NOW - 224_000,
    publishedAt: NOW - 222_000,
    rollout: {
      state: 'ROLLING',
      counts: { total: 3, onIt: 1, underWay: 1, rolledBack: 1, failed: 0, away: 0, notEnrolled: 0, behind: 0 },
      description: '1 of 3 on it, 1 under way, 1 rolled back',
      startedAt: NOW - 222_000,
      completedAt: null,
    },
    hosts: [],
    ...over,
  };
}
