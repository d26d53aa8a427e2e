import {
  isEndedRevision,
  needsAction,
  standingOf,
  storableText,
  type CommitSha,
  type Desired,
  type HostName,
  type HostStanding,
  type Offer,
  type Presence,
  type PresenceFacts,
  type RolloutSummary,
} from '@floe/model';
import {
  MAX_BUILDS_SHOWN,
  MAX_HOST_ORDERS,
  type HostOrderView,
  type HostView,
  type RepositoryView,
  type RevisionView,
  type ServerNotice,
} from '@floe/protocol';
import {
  factsOf,
  type BuildUnderWay,
  type Deploy,
  type Evaluation,
  type FleetHost,
  type HostRow,
  type Quarantine,
  type Repository,
  type RevisionInList,
  type Rollout,
  type EndedTrial,
  type Submission,
  type Trial,
  type WaitsForOlder,
} from '@floe/store';
import type { Trouble } from '@floe/runtime';
import { actionsOn } from './decisions.ts';
import { lostWords, shortSha } from '@floe/views';
import { failureOf, problemOf } from './host-problem.ts';
import type { RolloutDetail } from './rollouts/view.ts';

/** Facts about a host besides its own row. */
export interface HostContext {
  /** The current answer of `resolve()`. */
  readonly desired: Desired;
  readonly now: number;
  /** The offer of the newest finished revision. */
  readonly offer: Offer;
  /** The host's evaluation at that revision. */
  readonly evaluation: Evaluation | undefined;
  readonly quarantines: readonly Quarantine[];
  readonly trial?: Trial | undefined;
  readonly endedTrial?: EndedTrial | undefined;
  readonly submission?: Submission | undefined;
  /** The host of the revision whose configuration says that its machine had this name. */
  readonly renameTo?: HostName | undefined;
  /** The name of the stepping stone that it rolled back. */
  readonly stone?: string | undefined;
  readonly desiredCommit: HostView['desired'] extends infer D ? (D extends { commit: infer C } ? C : never) : never;
  readonly progress: HostView['progress'];
  readonly presence: Presence;
  /** What people ordered of it. */
  readonly orders?: HostView['orders'];
  readonly stops?: HostView['stops'];
  /** The server's own error with this host. */
  readonly trouble: HostView['trouble'];
}

/** The view of a host. Pure. */
export function viewHost(row: HostRow, context: HostContext): HostView {
  const { desired, offer, evaluation, quarantines, presence, trial, endedTrial } = context;
  const facts = factsOf(row, desired, offer);
  const standing = standingOf(facts);
  const renameTo = standing === 'removed' ? context.renameTo : undefined;
  const trouble = context.trouble ?? brokenConfiguration(row, standing, evaluation);
  return {
    host: row.host,
    standing,
    isConnected: row.isConnected,
    presence,
    isEnrolled: isEnrolled(row),
    problem: joined([
      trouble?.message ?? null,
      problemOf({ row, facts, evaluation, quarantines, renameTo }),
      presence === 'lost' ? lostWords(row.lastSeenAt ?? null) : null,
    ]),
    actions: actionsOn(row, desired, offer.kind === 'release' || offer.kind === 'none', context.now),
    orders: context.orders ?? [],
    stops: context.stops ?? [],
    trouble,
    desired:
      row.desired === undefined
        ? null
        : {
            toplevel: row.desired.toplevel,
            commit: context.desiredCommit,
            subject: null,
            sequence: row.desired.sequence,
            epoch: row.desired.epoch,
            since: row.desired.since,
          },
    trial:
      trial === undefined
        ? null
        : {
            id: storableText(trial.id, 64),
            commit: trial.commit,
            toplevel: trial.toplevel,
            endsAt: trial.endsAt,
            by: trial.by,
            reason: trial.reason,
          },
    lastTrial:
      endedTrial === undefined
        ? null
        : {
            id: endedTrial.id,
            commit: endedTrial.commit,
            by: endedTrial.by,
            endedAt: endedTrial.endedAt,
            result: endedTrial.result,
            hasFailed: endedTrial.hasFailed,
          },
    ...(renameTo === undefined ? {} : { renameTo }),
    stone: context.stone === undefined ? null : storableText(context.stone, 64),
    submission: context.submission === undefined ? null : viewSubmission(context.submission),
    observed: row.observed,
    runs: null,
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

function viewSubmission({ id, toplevel, state, by, reason, at, endedAt, result }: Submission): NonNullable<HostView['submission']> {
  return { id, toplevel, state, by, reason, since: at, endedAt: endedAt ?? null, result };
}

/** What people ordered of a host, in the order in which it counts. Pure. */
export function ordersOf({
  row,
  situation,
  pins,
  deploy,
  desiredCommit,
}: Pick<FleetHost, 'row' | 'situation' | 'pins' | 'deploy' | 'desiredCommit'>): HostView['orders'] {
  const quarantines = [...(situation.ordered?.values() ?? [])].map(({ isOfAll, commit, sequence, by, reason, at, until }): HostOrderView => {
    return { kind: isOfAll ? 'quarantine-all' : 'quarantine', sequence, commit, by, reason, since: at, until: until ?? null };
  });
  const kept = (pins ?? []).map(({ kind, sequence, commit, by, reason, at, expiresAt }): HostOrderView => {
    return { kind, sequence, commit: commit ?? null, by, reason, since: at, until: expiresAt ?? null };
  });
  const asked = deploy === undefined ? [] : [deployOrder(deploy, row, desiredCommit)];
  return [...kept, ...asked, ...quarantines].slice(0, MAX_HOST_ORDERS);
}

function deployOrder({ by, reason, at, expiresAt }: Deploy, { desired }: HostRow, commit: FleetHost['desiredCommit']): HostOrderView {
  return { kind: 'deploy', sequence: desired?.sequence ?? 0, commit: commit ?? null, by, reason, since: at, until: expiresAt };
}

function isEnrolled({ publicKey, revokedAt }: HostRow): boolean {
  return publicKey !== undefined && revokedAt === undefined;
}

/** Nobody is missed whose times cannot be read: that they cannot is said of the host already. */
export function presenceFactsOf(row: HostRow): PresenceFacts {
  const isMissed = isEnrolled(row) && row.unreadable === undefined;
  return { isConnected: row.isConnected, lastSeenAt: row.lastSeenAt, enrolledAt: isMissed ? row.enrolledAt : undefined };
}

/**
 * The newest commit fails for a host that no machine follows just now (revoked, not enrolled, pinned): its standing does not say
 * so, and the commit is red for it.
 */
function brokenConfiguration(row: HostRow, standing: HostStanding, evaluation: Evaluation | undefined): HostView['trouble'] {
  const outcome = evaluation?.outcome;
  if (needsAction(standing) || (outcome !== 'EVAL_ERROR' && outcome !== 'BUILD_ERROR')) return null;
  return { code: outcome, message: storableText(failureOf(evaluation)), since: row.stateSince ?? row.enrolledAt ?? 0 };
}

/** Each on its own line. Together they can be longer than a view allows. */
function joined(texts: readonly (string | null)[]): string | null {
  const some = texts.filter((text) => text !== null);
  return some.length === 0 ? null : storableText(some.join('\n'));
}

/**
 * The problem of a host whose row is unreadable, whose data the database refused, or that accepted what nobody gave. `newest`: the newest sequence
 * that was given.
 */
export function troubleOf(row: HostRow, noted: Trouble | undefined, newest: number): HostView['trouble'] {
  if (row.unreadable !== undefined) return { code: 'ROW_UNREADABLE', message: storableText(row.unreadable), since: row.stateSince ?? 0 };
  if (noted !== undefined) return { ...noted, code: storableText(noted.code, 64), message: storableText(noted.message) };
  // The row may be read later than the newest sequence: what the host was told is in both.
  const known = Math.max(newest, row.toldSequence ?? 0, row.desired?.sequence ?? 0);
  if (isEnrolled(row) && row.acceptedSequence > known) {
    const message = unknownSequenceWords(row.acceptedSequence, known);
    return { code: 'SEQUENCE_UNKNOWN', message, since: row.stateSince ?? row.enrolledAt ?? 0 };
  }
  const { refused } = row;
  if (refused === undefined) return null;
  const what = refused.count === 1 ? 'a report was' : `${refused.count} reports were`;
  return { code: 'REPORTS_REFUSED', message: `${what} set aside, the last of them ${refused.why}`, since: refused.at };
}

/** Nothing signs what it says. What is near enough is gone on from, by `highestBelieved()`. */
function unknownSequenceWords(accepted: number, newest: number): string {
  const claim = `its agent says that it accepted the sequence ${accepted}, and the newest one here is ${newest}`;
  const causes = 'another server told it so, or one whose database is lost, or it lies';
  const forget = 'systemctl stop floe-agent, then: floe-agent forget sequence, then: systemctl start floe-agent';
  return `${claim}: ${causes}; where it is near enough the next commit goes above it, else run on the machine: ${forget}`;
}

/** What is told beside a repository's row. */
export interface BesideRepository extends Pick<RepositoryView, 'fetching' | 'followed' | 'freeze' | 'stops'> {
  readonly notices: readonly ServerNotice[];
}

export function viewRepository(repository: Repository, { notices, ...beside }: BesideRepository): RepositoryView {
  const { held } = repository;
  return {
    url: repository.url,
    branch: repository.branch,
    acceptedCommit: repository.acceptedCommit ?? null,
    lastFetchAt: repository.lastFetchAt ?? null,
    problem: repository.problem ?? null,
    held: held === undefined ? null : { commit: held.commit, reason: held.reason, since: held.since, seen: held.seen },
    advice: repository.advice ?? null,
    ...beside,
    notices: [...notices],
  };
}

/** The view of a rollout. `summary` undefined: it ended before results were recorded. */
export interface RolloutSeen {
  readonly row: Rollout;
  readonly summary: RolloutSummary | undefined;
  readonly detail: RolloutDetail;
  readonly description: string;
  readonly frozenAt: number | undefined;
}

/** Who asked to let it pass below the floor, while that is not enough. */
function askedGlassWords({ sha, glass = [], glassAt }: RevisionInList): readonly string[] {
  if (glassAt !== undefined) return [];
  const second = `a second administrator, another person, has to run: floe rollout break-glass ${shortSha(sha)} --reason "…"`;
  return glass.map(({ by, reason }) => `${by} asks to let it pass below the floor of the server's settings: ${reason}; ${second}`);
}

function buildOf({ since, derivation, line }: Omit<BuildUnderWay, 'host' | 'check'>): Omit<RevisionView['builds'][number], 'host'> {
  return { since, derivation: derivation ?? null, line: line ?? null };
}

export function viewRevision(
  revision: RevisionInList,
  evaluations: readonly Evaluation[],
  rollout: RolloutSeen | undefined,
  {
    waits,
    builds,
    held,
  }: { readonly waits: WaitsForOlder | undefined; readonly builds: readonly BuildUnderWay[]; readonly held: CommitSha | undefined },
): RevisionView {
  const isOver = revision.supersededBy !== undefined;
  return {
    sha: revision.sha,
    sequence: revision.sequence,
    state: revision.state,
    error: revision.error ?? null,
    isSubmitted: revision.handoverId !== undefined,
    warnings: [...(revision.warnings ?? []), ...askedGlassWords(revision)],
    subject: revision.subject,
    author: revision.authorName,
    receivedAt: revision.receivedAt,
    fetchedAt: revision.fetchedAt ?? null,
    evaluatedAt: revision.evaluatedAt ?? null,
    builtAt: revision.builtAt ?? null,
    publishedAt: revision.publishedAt ?? null,
    waits: waits === undefined ? null : { after: waits.after, until: waits.until },
    builds: builds.flatMap(({ host, ...build }) => (host === undefined ? [] : [{ host, ...buildOf(build) }])).slice(0, MAX_BUILDS_SHOWN),
    checkBuilds: builds.flatMap(({ check, ...build }) => (check === undefined ? [] : [{ check, ...buildOf(build) }])).slice(0, MAX_BUILDS_SHOWN),
    isHeld: held === revision.sha && !isEndedRevision(revision.state),
    isBelowFloor: revision.state === 'REJECTED' && revision.glass !== undefined && revision.glassAt === undefined,
    allowedAt: revision.allowedAt ?? null,
    supersededBy: revision.supersededBy ?? null,
    supersededAt: revision.supersededAt ?? null,
    rollout:
      rollout === undefined
        ? null
        : {
            state: rollout.row.state,
            counts: rollout.summary?.counts ?? null,
            description: rollout.description,
            startedAt: rollout.row.startedAt,
            completedAt: rollout.row.completedAt ?? null,
            frozenAt: rollout.frozenAt ?? null,
            ...rollout.detail,
            hosts: (rollout.summary?.hosts ?? []).map(({ host, standing, reason }) => ({ host, standing, reason: reason ?? null })),
          },
    hosts: evaluations.map((each) => ({
      host: each.host,
      outcome: each.outcome ?? null,
      toplevel: each.toplevel ?? null,
      error: each.error ?? null,
      warnings: [...(each.warnings ?? [])],
      // Its hosts are not retried: the newer revision evaluates them.
      retryAt: isOver ? null : (each.retryAt ?? null),
      evaluateMs: each.evaluateMs ?? null,
      buildMs: each.buildMs ?? null,
    })),
  };
}
