import { belowFloor, DEFAULT_POLICY, type HostName, type RolloutCourse, type StorePath } from '@floe/model';
import type { Evaluation, EvaluationRow, Revision } from '@floe/store';
import type { PipelineDeps } from '../deps.ts';
import { releasedToplevels } from '../evaluation/released.ts';
import { saveEvaluations } from '../evaluation/save-evaluations.ts';

type CompareDeps = Pick<PipelineDeps, 'store' | 'policyFloor'>;

export type CompareOutcome = { readonly kind: 'evaluated' } | { readonly kind: 'refused'; readonly error: string };

/**
 * What a submitted revision has for each host, without an evaluation: of its own hosts their systems, compared with their last releases; all
 * others as the newest published revision left them. It is rolled out under that one's policy, so that a submission loosens no gate.
 */
export async function compareHandover(deps: CompareDeps, revision: Revision): Promise<CompareOutcome> {
  const { store } = deps;
  const { id, repositoryId, handoverId = '' } = revision;
  const systems = await store.handovers.systems(handoverId);
  const base = await store.revisions.newestPublished(repositoryId);
  const error = await refusalToSubmit(deps, repositoryId, systems, base);
  if (error !== undefined) return { kind: 'refused', error };
  if (base !== undefined && base.policy !== DEFAULT_POLICY) await store.revisions.savePolicy(id, base.policy);
  const before = base === undefined ? [] : await store.revisions.evaluations(base.id);
  const released = await releasedToplevels(deps, revision);
  const latest = new Map((await store.releases.latest(repositoryId)).map(({ host, toplevel }) => [host, toplevel]));
  const own = new Map(before.map((row) => [row.host, row]));
  await saveEvaluations(store, id, [
    ...[...systems].map(([host, { toplevel, system }]): EvaluationRow => {
      const outcome = released.get(host) === toplevel ? 'UNCHANGED' : latest.has(host) ? 'CHANGED' : 'NEW';
      return { ...configurationOf(own.get(host)), host, outcome, toplevel, system };
    }),
    ...before.flatMap((row) => (systems.has(row.host) ? [] : [unchanged(row, latest)])),
  ]);
  return { kind: 'evaluated' };
}

/**
 * Why nothing can be submitted now, whatever the systems are. Asked before it becomes a revision, and again by that: the newest
 * published one may be another by then.
 */
export async function refusalToSubmit(
  { store, policyFloor }: CompareDeps,
  repositoryId: string,
  systems: ReadonlyMap<HostName, unknown>,
  base: Pick<Revision, 'policy'> | undefined,
): Promise<string | undefined> {
  const policy = base?.policy ?? DEFAULT_POLICY;
  if (policy.checks.length > 0)
    return `the policy in force names flake checks (${policy.checks.join(', ')}), which are built of a commit before anything of it is released, and nothing is built of what is submitted: push the commit, or take the checks out of the policy`;
  const below = policyFloor === undefined ? [] : belowFloor(policyFloor, policy);
  if (below.length > 0) return ["the policy in force is below the floor of this server's settings: push one that keeps it", ...below].join('\n');
  const { hosts, rollout } = await store.hosts.fleet(repositoryId);
  if (rollout === undefined || !hasFailed(rollout.course)) return undefined;
  const reached = hosts.filter(({ row, situation }) => {
    const toplevel = situation.rollout?.toplevel;
    const isNews = toplevel !== undefined && toplevel !== situation.stable?.toplevel && toplevel !== row.observed.current;
    return isNews && !systems.has(row.host);
  });
  if (reached.length === 0) return undefined;
  const what = rollout.state === 'ABORTED' ? 'was aborted' : 'is paused because of what it brought';
  return `the last rollout ${what}, and these hosts would get its systems now: ${named(reached.map(({ row }) => row.host))}. Submit systems for them, too, or push a commit that reverts it`;
}

/** What is submitted would take its place, and with it the decision of a person about what it brought. */
function hasFailed({ state, pause }: RolloutCourse): boolean {
  return state === 'ABORTED' || (state === 'PAUSED' && (pause?.cause === 'failures' || pause?.cause === 'probe'));
}

const NAMED = 10;
function named(hosts: readonly string[]): string {
  return hosts.length > NAMED ? `${hosts.slice(0, NAMED).join(', ')} and ${hosts.length - NAMED} more` : hosts.join(', ');
}

/** What its own configuration said in the newest commit: what is submitted does not say it. */
function configurationOf(row: Evaluation | undefined): Pick<EvaluationRow, 'labels' | 'ring' | 'formerHost' | 'timeZone'> {
  return { labels: row?.labels, ring: row?.ring, formerHost: row?.formerHost, timeZone: row?.timeZone };
}

/** A host that is not in the file keeps its last release, or what is wrong with it. */
function unchanged(row: Evaluation, latest: ReadonlyMap<HostName, StorePath>): EvaluationRow {
  const { host, outcome, error, warnings, system } = row;
  const about = { ...configurationOf(row), host, warnings };
  if (outcome === 'CHANGED' || outcome === 'NEW' || outcome === 'UNCHANGED')
    return { ...about, outcome: 'UNCHANGED', toplevel: latest.get(host) ?? row.toplevel, system };
  return { ...about, outcome, error };
}
