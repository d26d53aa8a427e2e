import type { CommitSha } from '@floe/model';
import { describeError, isFloeError } from '@floe/runtime';
import type { PipelineDeps } from './deps.ts';

/** What one look at the repository came to. */
export type TakeInOutcome =
  | { readonly kind: 'unchanged' }
  | { readonly kind: 'received'; readonly revisionId: string; readonly commit: CommitSha }
  /** A force-push: it waits for an administrator's word. */
  | { readonly kind: 'held'; readonly commit: CommitSha }
  | { readonly kind: 'failed'; readonly code: string; readonly isRetryable: boolean };

const MAX_SUBJECT_LENGTH = 200;

/**
 * Fetches the tracked branch and takes in its head as a revision, when it moved forward. Only ever looks at the newest
 * head: commits of a burst that were overtaken are never evaluated. Failures are recorded on the repository, where
 * people look, and returned.
 */
export async function takeIn(deps: PipelineDeps, repositoryId: string, signal: AbortSignal): Promise<TakeInOutcome> {
  const { store, mirror, clock, logger } = deps;
  const repository = await store.repositories.get(repositoryId);
  let outcome: Awaited<ReturnType<typeof mirror.fetch>>;
  try {
    outcome = await mirror.fetch(repository.acceptedCommit, signal);
  } catch (error) {
    if (signal.aborted || !isFloeError(error)) throw error;
    logger.warn('the repository could not be fetched', { error });
    await store.repositories.recordFetch(repositoryId, { now: clock.now(), problem: { code: error.code, message: describeError(error) } });
    return { kind: 'failed', code: error.code, isRetryable: error.retryable };
  }
  const fetchedAt = clock.now();

  if (outcome.kind === 'diverged' && repository.allowedCommit !== outcome.head) {
    const reason = `the branch was rewritten: ${outcome.head.slice(0, 12)} does not descend from ${outcome.accepted.slice(0, 12)}`;
    await store.repositories.recordFetch(repositoryId, { now: fetchedAt, held: { commit: outcome.head, reason } });
    if (repository.held?.commit !== outcome.head) logger.warn('a force-push is held', { head: outcome.head, accepted: outcome.accepted });
    return { kind: 'held', commit: outcome.head };
  }
  await store.repositories.recordFetch(repositoryId, { now: fetchedAt });
  const newest = await store.revisions.newest(repositoryId);
  if (outcome.kind === 'unchanged' && newest?.sha === outcome.head) return { kind: 'unchanged' };

  // Nix looks a revision up in the branch of the mirror, so the branch moves before anyone can evaluate.
  await mirror.accept(outcome.head);
  const commit = await mirror.commit(outcome.head);
  const delivered = await store.deliveries.latestFor(repositoryId, outcome.head);
  const revision = await store.revisions.receive(repositoryId, {
    sha: outcome.head,
    subject: shortened(commit.subject),
    authorName: commit.authorName,
    authorEmail: commit.authorEmail,
    committedAt: commit.committedAt,
    receivedAt: delivered ?? fetchedAt,
    fetchedAt,
  });
  logger.info('a revision was taken in', { commit: outcome.head, sequence: revision.sequence, subject: commit.subject });
  return { kind: 'received', revisionId: revision.id, commit: outcome.head };
}

/** A commit's first line may be of any length; it is shown everywhere. */
function shortened(subject: string): string {
  return subject.length <= MAX_SUBJECT_LENGTH ? subject : `${subject.slice(0, MAX_SUBJECT_LENGTH - 1)}…`;
}
