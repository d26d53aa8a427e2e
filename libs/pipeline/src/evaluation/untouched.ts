import { changedLooks, ignores, type CommitSha, type HostName, type Look } from '@floe/model';
import type { EvaluationRow, Revision } from '@floe/store';
import type { PipelineDeps } from '../deps.ts';
import { outcomeOf } from './evaluate-hosts.ts';
import { unknownRing, unknownZone } from './policy.ts';
import type { Released } from './released.ts';
import type { HostTraced } from './traces.ts';

/** The settings on which it depends what an evaluation sees: what was traced by other ones is not used. */
export function settingsOf({ source }: Pick<PipelineDeps, 'source'>): string {
  return JSON.stringify([source?.hostsFile ?? '', source?.attribute ?? '', source?.kind === 'tree' ? source.ignored : 'commit']);
}

/**
 * With `evaluate.skip`: the rows of those hosts that are not evaluated, because the commit changes nothing that their last evaluation looked at. Only the
 * builder's own traces decide, so that nobody who writes to the database can carry a system over.
 */
export async function untouchedRows(
  deps: PipelineDeps,
  revision: Revision,
  hosts: readonly HostName[],
  released: Released,
): Promise<readonly EvaluationRow[]> {
  const { traces, store, logger } = deps;
  // Of one that was looked at before, an administrator may have asked for the evaluation.
  if (traces === undefined || traces.off !== undefined || revision.sourceKey !== undefined) return [];
  const previous = await store.revisions.newestPublished(revision.repositoryId);
  const before = new Map(previous === undefined ? [] : (await store.revisions.evaluations(previous.id)).map((row) => [row.host, row] as const));
  const isTouched = touching(deps, revision.sha);
  const rows: EvaluationRow[] = [];
  for (const host of hosts) {
    const traced = traces.get(host);
    if (traced === undefined || traced.usesSelf || (await isTouched(traced))) continue;
    const { drvPath } = traced.answer;
    const candidate = { host, ...traced.answer };
    if ((unknownRing(revision.policy, candidate) ?? unknownZone(revision.policy, candidate)) !== undefined) continue;
    const known = before.get(host);
    const warnings = known?.drvPath === drvPath ? known.warnings : [];
    rows.push({ ...candidate, outcome: outcomeOf(candidate, released), warnings });
    traces.set(host, { ...traced, sha: revision.sha, isCarried: true });
  }
  if (rows.length === 0) return rows;
  await traces.save();
  deps.ownEvaluations?.note(revision, rows);
  logger.info('hosts that the commit does not touch were not evaluated', { commit: revision.sha, hosts: rows.length });
  return rows;
}

/** Whether a commit changes something that a host looked at. What is not known is a change. */
export function touching(deps: Pick<PipelineDeps, 'mirror' | 'source'>, sha: CommitSha): (traced: HostTraced) => Promise<boolean> {
  const settings = settingsOf(deps);
  const changes = new Map<CommitSha, Promise<ReadonlySet<Look> | 'all'>>();
  const changedSince = async (before: CommitSha): Promise<ReadonlySet<Look> | 'all'> => {
    const nodes = await deps.mirror.changedNodes(before, sha);
    const ignored = deps.source?.kind === 'tree' ? deps.source.ignored : [];
    return nodes === 'unknown' ? 'all' : changedLooks(nodes.filter(({ path }) => !ignores(ignored, path)));
  };
  return async (traced) => {
    if (traced.settings !== settings) return true;
    const known = changes.get(traced.sha) ?? changedSince(traced.sha);
    changes.set(traced.sha, known);
    const looks = await known;
    return looks === 'all' || [...looks].some((look) => traced.looks.has(look));
  };
}
