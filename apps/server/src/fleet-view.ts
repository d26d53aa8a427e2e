import {
  countRollout,
  isSettled,
  NOTHING_OBSERVED,
  standingOf,
  storableText,
  type HostName,
  type RolloutCounts,
  type RolloutHost,
  type RolloutHostStanding,
} from '@floe/model';
import type { HostView, RepositoryView, RevisionView, ServerNotice } from '@floe/protocol';
import type { Evaluation, HostRow, Quarantine, Repository, Revision, Rollout } from '@floe/store';
import type { Trouble } from '@floe/runtime';
import { lastWordOf, problemOf, standingOfHost } from './host-standing.ts';

/** What is known of a host beside its own row. */
export interface HostContext {
  readonly quarantines: readonly Quarantine[];
  /** The host's evaluation at the newest ended revision. */
  readonly evaluation: Evaluation | undefined;
  readonly desiredCommit: HostView['desired'] extends infer D ? (D extends { commit: infer C } ? C : never) : never;
  readonly progress: HostView['progress'];
  /** What keeps the server from doing its work for this host. */
  readonly trouble: HostView['trouble'];
}

/** A host's row as people see it. Pure. */
export function viewHost(row: HostRow, context: HostContext): HostView {
  const quarantine = context.quarantines.find((each) => each.toplevel === row.desired?.toplevel);
  const isEnrolled = row.publicKey !== undefined && row.revokedAt === undefined;
  const outcome = context.evaluation?.outcome;
  const isBehind = outcome === 'EVAL_ERROR' || outcome === 'BUILD_ERROR' || (outcome === 'REMOVED' && isEnrolled);
  const standing = standingOfHost(row, quarantine !== undefined);
  return {
    host: row.host,
    standing,
    isConnected: row.isConnected,
    isEnrolled,
    isBehind,
    problem: joined([context.trouble?.message ?? null, problemOf(row, standing, quarantine, isBehind ? context.evaluation : undefined)]),
    trouble: context.trouble,
    desired:
      row.desired === undefined
        ? null
        : {
            toplevel: row.desired.toplevel,
            commit: context.desiredCommit,
            sequence: row.desired.sequence,
            epoch: row.desired.epoch,
            since: row.desired.since,
          },
    observed: row.observed,
    state: row.state,
    stateToplevel: row.stateToplevel ?? null,
    stateSince: row.stateSince ?? null,
    detail: row.detail ?? null,
    progress: row.state === 'DOWNLOADING' ? context.progress : null,
    lastSeenAt: row.lastSeenAt ?? null,
    agentVersion: row.agentVersion ?? null,
    machineId: row.machineId ?? null,
  };
}

/** Each on its own line. What is put together can be longer than a view takes. */
function joined(texts: readonly (string | null)[]): string | null {
  const some = texts.filter((text) => text !== null);
  return some.length === 0 ? null : storableText(some.join('\n'));
}

/** What people are told of a host whose row the server cannot make sense of, or that its database refused. */
export function troubleOf(row: HostRow, noted: Trouble | undefined): HostView['trouble'] {
  if (row.unreadable !== undefined) return { code: 'ROW_UNREADABLE', message: storableText(row.unreadable), since: row.stateSince ?? 0 };
  if (noted !== undefined) return { ...noted, code: storableText(noted.code, 64), message: storableText(noted.message) };
  const { refused } = row;
  if (refused === undefined) return null;
  const what = refused.count === 1 ? 'a report was' : `${refused.count} reports were`;
  return { code: 'REPORTS_REFUSED', message: `${what} set aside, the last of them ${refused.why}`, since: refused.at };
}

export function viewRepository(repository: Repository, notices: readonly ServerNotice[]): RepositoryView {
  return {
    url: repository.url,
    branch: repository.branch,
    acceptedCommit: repository.acceptedCommit ?? null,
    lastFetchAt: repository.lastFetchAt ?? null,
    problem: repository.problem ?? null,
    held: repository.held ?? null,
    notices: [...notices],
  };
}

const NEVER_HEARD = { observed: NOTHING_OBSERVED, state: 'IDLE', subject: undefined, isOverridden: false, isToRetry: false } as const;

/** The hosts of a revision as its rollout sees them. */
export function rolloutHosts(
  evaluations: readonly Evaluation[],
  rows: ReadonlyMap<HostName, HostRow>,
  quarantines: readonly Quarantine[],
): (RolloutHost & { readonly host: HostName })[] {
  const quarantined = new Set(quarantines.map(({ host, toplevel }) => `${host} ${toplevel}`));
  return evaluations.map((evaluation) => {
    const row = rows.get(evaluation.host);
    const isUsable = evaluation.outcome === 'CHANGED' || evaluation.outcome === 'NEW' || evaluation.outcome === 'UNCHANGED';
    return {
      host: evaluation.host,
      toplevel: isUsable ? evaluation.toplevel : undefined,
      outcome: evaluation.outcome,
      isEnrolled: row?.publicKey !== undefined && row.revokedAt === undefined,
      isConnected: row?.isConnected ?? false,
      ...(row === undefined ? NEVER_HEARD : lastWordOf(row)),
      isQuarantined: quarantined.has(`${evaluation.host} ${evaluation.toplevel}`),
    };
  });
}

export interface RolloutStanding {
  readonly counts: RolloutCounts;
  /** The hosts that a person has to look after. */
  readonly names: { readonly rolledBack: readonly HostName[]; readonly failed: readonly HostName[]; readonly behind: readonly HostName[] };
  readonly isComplete: boolean;
}

/** Where a rollout stands. It is complete when nothing is under way and nothing failed; hosts that are away or wait do not block it. */
export function judgeRollout(hosts: readonly (RolloutHost & { readonly host: HostName })[]): RolloutStanding {
  const counts = countRollout(hosts);
  const named = (standing: RolloutHostStanding): HostName[] =>
    hosts.filter((host) => host.outcome !== 'REMOVED' && standingOf(host) === standing).map(({ host }) => host);
  const names = { rolledBack: named('rolledBack'), failed: named('failed'), behind: named('behind') };
  return { counts, names, isComplete: isSettled(counts) && counts.rolledBack === 0 && counts.failed === 0 };
}

export function viewRevision(
  revision: Revision,
  evaluations: readonly Evaluation[],
  rollout: { readonly row: Rollout; readonly counts: RolloutCounts; readonly description: string } | undefined,
): RevisionView {
  return {
    sha: revision.sha,
    sequence: revision.sequence,
    state: revision.state,
    error: revision.error ?? null,
    subject: revision.subject,
    author: revision.authorName,
    receivedAt: revision.receivedAt,
    fetchedAt: revision.fetchedAt ?? null,
    evaluatedAt: revision.evaluatedAt ?? null,
    builtAt: revision.builtAt ?? null,
    publishedAt: revision.publishedAt ?? null,
    rollout:
      rollout === undefined
        ? null
        : {
            state: rollout.row.state,
            counts: rollout.counts,
            description: rollout.description,
            startedAt: rollout.row.startedAt,
            completedAt: rollout.row.completedAt ?? null,
          },
    hosts: evaluations.map((each) => ({
      host: each.host,
      outcome: each.outcome ?? null,
      toplevel: each.toplevel ?? null,
      error: each.error ?? null,
      warnings: [...(each.warnings ?? [])],
      retryAt: each.retryAt ?? null,
      evaluateMs: each.evaluateMs ?? null,
      buildMs: each.buildMs ?? null,
    })),
  };
}
