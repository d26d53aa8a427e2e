import { isAccepted, isFailedRevision, type RevisionEvent } from '@floe/model';
import { describeError, isFloeError } from '@floe/runtime';
import type { Repository, Revision } from '@floe/store';
import { bugWords } from './bug-words.ts';
import { clear } from './clearance.ts';
import { unsignedOf } from './commit-signers/refusal.ts';
import type { PipelineDeps } from './deps.ts';
import { evaluateRevision, finishRevision, publishRevision } from './evaluate-and-build.ts';
import { compareHandover } from './handovers/compare.ts';
import { readHandover } from './handovers/read.ts';
import { noteSequence } from './note-sequence.ts';
import { recordEvent } from './record-event.ts';
import { NOT_TAKEN } from './submissions.ts';
import { refusalOf } from './verify.ts';

/** Whether it waits for an administrator: evaluated again, it would be held again. */
export function isHeld({ held, allowed }: Repository, { sha, state }: Revision): boolean {
  return state === 'EVALUATING' && held?.commit === sha && !isAccepted(allowed, sha, held.cause);
}

/** Advances the revision by one step. Every step can be repeated. Resolves to true when it waits for an administrator. */
export async function advance(deps: PipelineDeps, repository: Repository, revision: Revision, signal: AbortSignal): Promise<boolean> {
  const { store, clock } = deps;
  const record = async (event: RevisionEvent, error?: string): Promise<unknown> => await recordEvent(deps, revision, event, error);
  if (deps.refusesSubmissions === true && revision.handoverId !== undefined) {
    await record(revision.state === 'BUILDING' ? 'build-failed' : 'refused', NOT_TAKEN);
    return false;
  }
  switch (revision.state) {
    case 'RECEIVED': {
      const why = await noteSequence(deps, revision);
      if (why === undefined) await record('accepted');
      else await record('refused', why);
      return false;
    }
    case 'VERIFYING': {
      // Of a submitted one, nothing is read from git.
      // Who signed it is asked first: its submodules may be fetched.
      const refusal = revision.handoverId === undefined ? ((await unsignedOf(deps, revision)) ?? (await refusalOf(deps, revision))) : undefined;
      if (refusal === undefined) await record('verified');
      else await record('refused', refusal);
      return false;
    }
    case 'EVALUATING': {
      // Before Nix reads anything of it, and whenever it is evaluated again or waited: the key of a signer may have been taken away since.
      const unsigned = await unsignedOf(deps, revision);
      if (unsigned !== undefined) {
        await record('refused', unsigned);
        return false;
      }
      const outcome =
        revision.handoverId === undefined ? await evaluateRevision(deps, repository, revision, signal) : await compareHandover(deps, revision);
      if (outcome.kind === 'held') {
        // An error marks it as stuck, so that a newer commit does not wait for it: also one that comes as soon as it is seen to be held.
        await store.revisions.noteError(revision.id, `held: ${outcome.reason}`);
        await store.repositories.hold(repository.id, { commit: revision.sha, reason: outcome.reason, cause: outcome.cause }, clock.now());
        // What was submitted does not wait for that person either. The commit is taken in again after it, and is held again.
        return !(await giveWay(deps, revision));
      }
      if (repository.held?.commit === revision.sha) await store.repositories.hold(repository.id, undefined, clock.now());
      if (outcome.kind === 'evaluated') await record('evaluated');
      else if (outcome.kind === 'refused') await record('refused', outcome.error);
      else if (outcome.kind === 'failed') await record('evaluation-failed', outcome.error);
      return false;
    }
    case 'BUILDING': {
      if (revision.handoverId === undefined) await finishRevision(deps, repository, revision, signal);
      // Of what was submitted all systems are there, and are handed out together.
      else {
        const clearance = await clear(deps, revision, signal);
        if (clearance.kind === 'refused') await record('build-failed', clearance.why);
        else await publishRevision(deps, repository, clearance.revision, await readHandover(deps, revision));
      }
      return false;
    }
    case 'PUBLISHED':
    case 'REJECTED':
    case 'EVAL_FAILED':
    case 'BUILD_FAILED':
    case 'SUPERSEDED':
      return false;
  }
}

/**
 * Records a failed step on its revision. Retryable errors are retried; a bug in Floe ends this revision, and no other. A newer
 * commit that waited for this one is processed next.
 */
export async function recordFailure(deps: PipelineDeps, revision: Revision, error: unknown): Promise<void> {
  const { store, clock, logger } = deps;
  try {
    if (!isFloeError(error)) {
      const events = { RECEIVED: 'refused', VERIFYING: 'refused', EVALUATING: 'evaluation-failed', BUILDING: 'build-failed' } as const;
      const event = revision.state in events ? events[revision.state as keyof typeof events] : undefined;
      const text = bugWords('this commit', deps);
      if (event !== undefined) await store.revisions.advance(revision.id, event, clock.now(), text);
      return;
    }
    await store.revisions.noteError(revision.id, describeError(error));
    await giveWay(deps, revision);
  } catch (cause) {
    logger.warn('a failed step could not be recorded', { error: cause });
  }
}

/** A newer one goes first. False: there is none, or what was submitted waits until a commit that hosts have releases of is built. */
export async function giveWay({ store, clock }: PipelineDeps, revision: Revision): Promise<boolean> {
  const newest = await store.revisions.newest(revision.repositoryId);
  // One that failed had its turn: this one was taken up after it.
  if (newest === undefined || newest.sequence <= revision.sequence || isFailedRevision(newest.state)) return false;
  // It has no systems for the other hosts, and the commit would not be taken in again.
  if (newest.handoverId !== undefined && (await store.releases.hostsOf(revision.id)).size > 0) return false;
  await store.revisions.supersede(revision.id, newest.sha, clock.now());
  return true;
}
