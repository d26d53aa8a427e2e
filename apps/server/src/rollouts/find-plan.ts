import { isEndedRevision, NO_ORDERS, type PlanHold, type RolloutOrders } from '@floe/model';
import type { RolloutPlanView, UnpublishedView } from '@floe/protocol';
import type { Evaluation, Fleet, Repository, Revision, StorePart, WaitsForOlder } from '@floe/store';
import { acceptCommand, branchInWords, describeBuild, describeEvaluation, firstLine, shortSha, utcTime } from '@floe/views';
import { commitNamed, type NotNamed } from '../named-commit.ts';
import { rolloutFacts } from './facts.ts';
import { judgeNext, type Waits } from './next.ts';
import { viewPlan, viewPlanBefore } from './plan.ts';
import { weakerThanBefore } from './policy-before.ts';
import { viewWaits } from './view.ts';

export interface FindPlanDeps {
  readonly store: StorePart<{
    hosts: 'fleet';
    repositories: 'get';
    revisions: 'get' | 'byShaPrefix' | 'evaluations' | 'evaluationsOf' | 'waiting';
    rollouts: 'completeBefore' | 'supersededInARow' | 'freezeOf';
  }>;
  readonly repository: Repository;
}

/** `none`: no commit was named, and hosts follow none. */
export type FoundPlan = { readonly kind: 'plan'; readonly plan: RolloutPlanView } | NotNamed | { readonly kind: 'none' };

/**
 * What is to come of a commit, wherever it is on its way: hosts follow it, it waits for the rollout before it, or it is not published yet.
 * `commit`: the beginning of its id; undefined: the one that hosts follow.
 */
export async function findPlan(deps: FindPlanDeps, commit: string | undefined, now: number): Promise<FoundPlan> {
  const { store, repository } = deps;
  const fleet = await store.hosts.fleet(repository.id);
  const { rollout } = fleet;
  const followed = rollout === undefined ? undefined : await store.revisions.get(rollout.revisionId);
  const plan = viewPlan(fleet, now);
  if (plan !== undefined && followed?.sha.startsWith(commit ?? '') === true) {
    const isWhole = isEndedRevision(followed.state);
    const unpublished = isWhole ? null : viewUnpublished(followed, await store.revisions.evaluations(followed.id), undefined, rollout?.coming?.size);
    return { kind: 'plan', plan: { sha: followed.sha, ...plan, unpublished } };
  }
  if (commit === undefined) return { kind: 'none' };
  const named = await commitNamed(deps, commit);
  if (named.kind === 'refused') return named.code === 'REVISION_UNKNOWN' ? await refuseUnknown(deps, commit) : named;
  const { newest: revision } = named;
  const isNext = fleet.next?.revisionId === revision.id;
  if (isEndedRevision(revision.state) && !isNext) return refuseEnded(revision, followed);
  return { kind: 'plan', plan: await planBefore(deps, fleet, revision, now) };
}

/** Of a commit whose rollout has not begun. */
async function planBefore(deps: FindPlanDeps, fleet: Fleet, revision: Revision, now: number): Promise<RolloutPlanView> {
  const { store } = deps;
  const { id, sha, policy } = revision;
  const [repository, older] = await Promise.all([store.repositories.get(deps.repository.id), store.revisions.waiting(deps.repository.id)]);
  const evaluations = await store.revisions.evaluations(id);
  const isOwn = fleet.next?.revisionId === id;
  const waits = await waitsBefore(deps, fleet, evaluations, isOwn, now);
  const after = fleet.rollout === undefined ? undefined : (await store.revisions.get(fleet.rollout.revisionId))?.sha;
  const waitsForOlder = older?.id === id ? older : undefined;
  const isHeld = repository.held?.commit === sha && !isEndedRevision(revision.state);
  const heldBefore: PlanHold | undefined = isHeld ? 'accept' : waitsForOlder !== undefined ? 'older' : waits === undefined ? undefined : 'train';
  const unpublished = isEndedRevision(revision.state) ? null : viewUnpublished(revision, evaluations, waitsForOlder);
  const orders = await ordersBefore(deps, isOwn ? fleet.next?.orders : undefined);
  const isKnown = unpublished === null || unpublished.isListed;
  const weaker = isKnown ? await weakerThanBefore(store, { revisionId: id, policy }) : [];
  return {
    sha,
    state: 'NEXT',
    waits: heldBefore === 'train' ? viewWaits(waits, after) : null,
    unpublished,
    ...(isKnown ? viewPlanBefore(fleet, { revisionId: id, policy, evaluations, orders, weaker, heldBefore }, now) : { rings: [], stopped: [] }),
  };
}

/** Also before there is a rollout, what comes can be paused. */
async function ordersBefore({ store, repository }: FindPlanDeps, orders: RolloutOrders = NO_ORDERS): Promise<RolloutOrders> {
  return { ...orders, freeze: await store.rollouts.freezeOf(repository.id) };
}

/** What it would wait for if it was published now. `isOwn`: it is published, and the one that waits. */
async function waitsBefore(
  { store, repository }: FindPlanDeps,
  { rollout, next, hosts }: Fleet,
  evaluations: readonly Evaluation[],
  isOwn: boolean,
  now: number,
): Promise<Waits | undefined> {
  const facts = rollout === undefined ? undefined : rolloutFacts(rollout, hosts, now);
  const own = {
    since: next?.hasNews === true ? next.since : now,
    hasNews: next?.hasNews === true || evaluations.length === 0 || evaluations.some(({ outcome }) => outcome in NEWS),
    isHotfix: false,
    superseded: next?.superseded ?? (await store.rollouts.supersededInARow(repository.id)) ?? { count: 0, since: now },
  };
  const answer = judgeNext(rollout, facts, isOwn && next !== undefined ? next : own, now);
  return answer.kind === 'waits' ? answer : undefined;
}

/** With these it has, or may have, a release that nobody has. */
const NEWS = { CHANGED: true, NEW: true, NOT_EVALUATED: true };

/** `building`: where some have their release already. */
function viewUnpublished(
  revision: Revision,
  evaluations: readonly Evaluation[],
  waits: WaitsForOlder | undefined,
  building?: number,
): UnpublishedView {
  const { state, sameSourceAs } = revision;
  const count = (...outcomes: readonly Evaluation['outcome'][]): number => evaluations.filter(({ outcome }) => outcomes.includes(outcome)).length;
  const evaluating = count('NOT_EVALUATED');
  // The policy is stored before the first row of a host, but what is taken over from another commit comes before that.
  const isTakenOver = state === 'EVALUATING' && sameSourceAs !== undefined && evaluating === 0;
  const told = { revision, evaluations, waits };
  const { description } = state === 'BUILDING' ? describeBuild(told) : describeEvaluation(told);
  return {
    state,
    text: description,
    isListed: evaluations.length > 0 && !isTakenOver,
    evaluating,
    building: building ?? count('CHANGED', 'NEW'),
    failed: count('EVAL_ERROR', 'BUILD_ERROR'),
  };
}

/** It is on no branch that Floe follows, or was not the head of it when Floe looked; or it is held before anything is read of it. */
async function refuseUnknown({ store, repository: { id } }: FindPlanDeps, commit: string): Promise<NotNamed> {
  const repository = await store.repositories.get(id);
  const { held, acceptedCommit, lastFetchAt } = repository;
  if (held?.commit.startsWith(commit) === true) {
    const message = `${shortSha(held.commit)} is held: ${held.reason}. Nothing is read of it, and nothing planned, before somebody accepts it: ${acceptCommand(held)}`;
    return { kind: 'refused', status: 409, code: 'COMMIT_HELD', message };
  }
  const branch = branchInWords(repository);
  const head = acceptedCommit === undefined ? 'nothing was taken in yet' : `the newest commit that was taken in is ${shortSha(acceptedCommit)}`;
  const fetched = lastFetchAt === undefined ? 'never fetched' : `last fetched ${utcTime(lastFetchAt)}`;
  const message = `Floe has taken in no commit that starts with ${commit}: ${branch} was ${fetched}, and ${head}. If you have just pushed it, ask again in a moment. A commit of another branch, or one that was pushed together with a newer one, is never rolled out by itself`;
  return { kind: 'refused', status: 404, code: 'REVISION_UNKNOWN', message };
}

/** Nothing is to come of it. */
function refuseEnded({ sha, state, error, supersededBy }: Revision, followed: Revision | undefined): NotNamed {
  const what = shortSha(sha);
  const by = supersededBy === undefined ? 'a newer commit' : shortSha(supersededBy);
  const now = followed === undefined ? 'hosts follow no commit yet' : `hosts follow ${shortSha(followed.sha)}`;
  const why =
    state === 'PUBLISHED'
      ? `${what} is superseded by ${by}, and its rollout is over`
      : state === 'SUPERSEDED'
        ? `${what} was superseded by ${by} before it was published`
        : `nobody gets ${what}: ${error === undefined ? 'it failed' : firstLine(error)}`;
  return { kind: 'refused', status: 409, code: 'NO_PLAN', message: `${why}; ${now}. See: floe revisions ${what}` };
}
