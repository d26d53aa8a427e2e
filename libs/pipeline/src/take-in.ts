import { isAccepted, isEndedRevision, type CommitSha } from '@floe/model';
import { describeError, isFloeError } from '@floe/runtime';
import type { PipelineDeps } from './deps.ts';

/**
 * The result of one look at the repository. `lookAgainMs`: when to look again without a hint. `leaveAloneMs`: how long the git
 * server asked not to be contacted, whatever hints arrive.
 */
export type TakeInOutcome = { readonly lookAgainMs?: number | undefined } & TakeInResult;
type TakeInResult =
  | { readonly kind: 'unchanged' }
  | { readonly kind: 'received'; readonly revisionId: string; readonly commit: CommitSha }
  /** A force-push, which waits for an administrator. */
  | { readonly kind: 'held'; readonly commit: CommitSha }
  | { readonly kind: 'failed'; readonly code: string; readonly isRetryable: boolean; readonly leaveAloneMs: number | undefined };

/** How long to look for a push that a webhook announced and the git server does not show yet. */
const AWAITED_MS = 5 * 60_000;

/**
 * Fetches the tracked branch and takes in its head as a revision, when it moved forward. Only the newest head is looked at:
 * earlier commits of the same push are never evaluated. Failures are recorded on the repository, and returned.
 */
export async function takeIn(deps: PipelineDeps, repositoryId: string, signal: AbortSignal): Promise<TakeInOutcome> {
  const result = await look(deps, repositoryId, signal);
  return { ...result, lookAgainMs: result.kind === 'failed' ? undefined : await awaitedIn(deps, repositoryId) };
}

/**
 * A webhook may be faster than the commit that it announces, because forges answer from replicas. Its hint is used up by the look
 * that came too early, so the next looks follow here, after 1, 2, 4, 8 … seconds.
 */
async function awaitedIn({ store, mirror, clock }: PipelineDeps, repositoryId: string): Promise<number | undefined> {
  let soonestMs: number | undefined;
  for (const { after, receivedAt } of await store.deliveries.newestPushes(repositoryId)) {
    const waitedMs = clock.now() - receivedAt;
    if (after === undefined || Math.abs(waitedMs) > AWAITED_MS) continue;
    const isHere = await mirror.commit(after).then(
      () => true,
      (error: unknown) => !isFloeError(error, 'COMMIT_NOT_FOUND'),
    );
    if (!isHere) soonestMs = Math.min(soonestMs ?? Number.POSITIVE_INFINITY, Math.min(60_000, Math.max(1_000, waitedMs)));
  }
  return soonestMs;
}

async function look(deps: PipelineDeps, repositoryId: string, signal: AbortSignal): Promise<TakeInResult> {
  const { store, mirror, clock, logger } = deps;
  const repository = await store.repositories.get(repositoryId);
  async function failed(error: unknown): Promise<TakeInResult> {
    if (signal.aborted || !isFloeError(error)) throw error;
    logger.warn('the repository could not be fetched', { error });
    const message = deps.nameSettings?.(describeError(error)) ?? describeError(error);
    await store.repositories.recordFetch(repositoryId, { now: clock.now(), problem: { code: error.code, message } });
    const { retryAfterMs } = error.data;
    return {
      kind: 'failed',
      code: error.code,
      isRetryable: error.retryable,
      leaveAloneMs: typeof retryAfterMs === 'number' ? retryAfterMs : undefined,
    };
  }
  let outcome: Awaited<ReturnType<typeof mirror.fetch>>;
  try {
    outcome = await mirror.fetch(repository.acceptedCommit, signal);
  } catch (error) {
    return await failed(error);
  }
  const fetchedAt = clock.now();

  const cause = outcome.kind === 'diverged' ? ({ kind: 'force-push', accepted: outcome.accepted } as const) : undefined;
  if (outcome.kind === 'diverged' && !isAccepted(repository.allowed, outcome.head, cause)) {
    const [head, accepted] = [outcome.head.slice(0, 12), outcome.accepted.slice(0, 12)];
    const reason =
      outcome.isUncertain === true
        ? `there are too many commits between ${head} and ${accepted} to say whether the branch was rewritten`
        : `the branch was rewritten: ${head} does not descend from ${accepted}`;
    await store.repositories.recordFetch(repositoryId, { now: fetchedAt, held: { commit: outcome.head, reason, cause } });
    if (repository.held?.commit !== outcome.head) logger.warn('a force-push is held', { head: outcome.head, accepted: outcome.accepted });
    return { kind: 'held', commit: outcome.head };
  }
  const newest = await store.revisions.newestOfBranch(repositoryId);
  // One that was taken in is held by its evaluation, which ends that, too.
  const isTakenIn = newest?.sha === outcome.head && !isEndedRevision(newest.state);
  // So is one before it that was taken up, because the head failed.
  const stays = isTakenIn ? newest.sha : newest?.sha === outcome.head ? (await store.revisions.nextUnfinished(repositoryId))?.sha : undefined;
  await store.repositories.recordFetch(repositoryId, { now: fetchedAt, held: stays === undefined ? undefined : { stays } });
  // A commit that ended only because a submitted revision went first is taken in again after that.
  const isLost = newest?.state === 'SUPERSEDED' && (await store.revisions.nextUnfinished(repositoryId)) === undefined;
  if (outcome.kind === 'unchanged' && newest?.sha === outcome.head && !isLost) return { kind: 'unchanged' };

  // Nix finds a revision by the branch of the mirror, so the branch is moved before anything evaluates.
  let commit: Awaited<ReturnType<typeof mirror.commit>>;
  try {
    await mirror.accept(outcome.head);
    commit = await mirror.commit(outcome.head);
  } catch (error) {
    return await failed(error);
  }
  const delivered = await store.deliveries.latestFor(repositoryId, outcome.head);
  const revision = await store.revisions.receive(repositoryId, {
    sha: outcome.head,
    subject: commit.subject,
    authorName: commit.authorName,
    authorEmail: commit.authorEmail,
    committedAt: commit.committedAt,
    receivedAt: delivered ?? fetchedAt,
    fetchedAt,
  });
  logger.info('a revision was taken in', { commit: outcome.head, sequence: revision.sequence, subject: commit.subject });
  return { kind: 'received', revisionId: revision.id, commit: outcome.head };
}
