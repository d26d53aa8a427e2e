import { handoverSha, isCommit, isEndedRevision, isFailedRevision, type CommitSha } from '@floe/model';
import { isFloeError } from '@floe/runtime';
import type { CommitInfo, Handover, Repository, Revision } from '@floe/store';
import type { PipelineDeps } from '../deps.ts';
import { askSigners } from '../commit-signers/refusal.ts';

type CommitDeps = Pick<PipelineDeps, 'store' | 'mirror' | 'clock' | 'signers' | 'nameSettings' | 'newestReleased'>;

/** A CI may be faster than the fetch that brings its commit. */
const AWAIT_COMMIT_MS = 5 * 60_000;

export type FoundCommit =
  /** `signers`: who signed it, where somebody has to. `head`: of the branch, which contains it; undefined: it is of no commit. */
  | { readonly kind: 'found'; readonly info: CommitInfo; readonly signers?: readonly string[] | undefined; readonly head?: CommitSha | undefined }
  | { readonly kind: 'waits'; readonly why: string }
  | { readonly kind: 'refused'; readonly why: string };

/** A commit that is named must be in the accepted head of the tracked branch, not a failed one, and not older than what is released: the statuses go there. */
export async function commitOf(deps: CommitDeps, handover: Handover, hosts: number): Promise<FoundCommit> {
  const { store, mirror } = deps;
  const { commit, contentHash, by, at, repositoryId } = handover;
  if (commit === undefined) {
    const subject = `${hosts} ${hosts === 1 ? 'system' : 'systems'}, submitted by ${by}`;
    return { kind: 'found', info: { sha: handoverSha(contentHash), subject, authorName: by, authorEmail: '', committedAt: at } };
  }
  const own = (await store.revisions.byShaPrefix(repositoryId, commit)).find(({ handoverId }) => handoverId === undefined);
  // What is submitted must not say otherwise on the commit.
  if (own !== undefined && isFailedRevision(own.state))
    return {
      kind: 'refused',
      why: `the commit ${commit} itself was refused or failed (${own.error ?? own.state}): mend it, or submit without a commit`,
    };
  const repository = await store.repositories.get(repositoryId);
  try {
    const place = await placeOf(deps, repository, commit);
    if (place.kind === 'refused') return place;
    if (place.kind === 'elsewhere') return await awaited(deps, handover, commit);
    const info = await mirror.commit(commit);
    const asked = await askSigners(deps, repositoryId, commit);
    if (asked?.kind === 'refused') return { kind: 'refused', why: `the commit ${commit}: ${asked.why}` };
    const newer = await overtakenBy(deps, repositoryId, commit);
    if (newer === undefined) return { kind: 'found', info, signers: asked?.signers, head: place.head };
    const why = `the newer commit ${newer} is released already, or is being built, and these systems are of the older commit ${commit}: run the job of the newest commit. To go back, revert the commit and push, or submit without a commit`;
    return { kind: 'refused', why };
  } catch (error) {
    if (!isFloeError(error, 'COMMIT_NOT_FOUND')) throw error;
    return await awaited(deps, handover, commit);
  }
}

/** A push may bring it yet. */
async function awaited({ store, clock }: CommitDeps, { repositoryId, at, result }: Handover, commit: CommitSha): Promise<FoundCommit> {
  if (clock.now() - at >= AWAIT_COMMIT_MS) return { kind: 'refused', why: `the tracked branch does not have the commit ${commit}` };
  const why = `it waits until the tracked branch has the commit ${commit}`;
  // Once: the hint comes back to this worker, too.
  if (result !== why) await store.repositories.wake(repositoryId);
  return { kind: 'waits', why };
}

type Place =
  /** In the branch, whose accepted head is this. */
  { readonly kind: 'there'; readonly head: CommitSha } | { readonly kind: 'elsewhere' } | { readonly kind: 'refused'; readonly why: string };

/** The mirror has more than the branch: what a force-push removed, and a head that waits for a person. */
async function placeOf({ mirror }: CommitDeps, { acceptedCommit: head, held }: Repository, commit: CommitSha): Promise<Place> {
  const isThere = head !== undefined && (await mirror.contains(head, commit));
  if (isThere === true) return { kind: 'there', head };
  if (isThere === 'unknown') {
    const why = `there are too many commits between ${commit} and the head of the tracked branch to say whether it is in that: name a newer one, or submit without a commit`;
    return { kind: 'refused', why };
  }
  if (held === undefined || (await mirror.contains(held.commit, commit)) !== true) return { kind: 'elsewhere' };
  const what = held.commit === commit ? `the commit ${commit} is held` : `the commit ${commit} came with ${held.commit}, which is held`;
  return { kind: 'refused', why: `${what}: ${held.reason}. Once somebody has run: floe accept ${held.commit} --reason "…", submit again` };
}

/** Whether hosts have, or are about to get, what a revision says. One that failed, or waits for a person, keeps nobody from an older commit. */
function counts({ sha, state, error }: Revision): boolean {
  return isCommit(sha) && (state === 'PUBLISHED' || (!isEndedRevision(state) && error === undefined));
}

/** A job that is repeated, or was slow, takes the fleet back to no older commit. */
async function overtakenBy({ store, mirror }: CommitDeps, repositoryId: string, commit: CommitSha): Promise<CommitSha | undefined> {
  const newest = [await store.revisions.newestOfBranch(repositoryId), await store.revisions.newestPublished(repositoryId)];
  for (const revision of newest) {
    if (revision === undefined || !counts(revision) || revision.sha === commit) continue;
    // Of a branch that was rewritten, the mirror may have one of them no more.
    const isNewer = await mirror.contains(revision.sha, commit).catch((error: unknown) => {
      if (isFloeError(error, 'COMMIT_NOT_FOUND')) return false;
      throw error;
    });
    if (isNewer === true) return revision.sha;
  }
  return undefined;
}
