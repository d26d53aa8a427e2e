import {
  DEFAULT_TIME_ZONE,
  goByHostTime,
  isEndedRevision,
  isHandingOut,
  offerOf,
  ringIn,
  storableText,
  whyNot,
  type CommitSha,
  type HostName,
  type StorePath,
  type WaitsForCommit,
  type WhyFacts,
} from '@floe/model';
import type { WhyView } from '@floe/protocol';
import { factsOf, type CurrentRollout, type Evaluation, type Fleet, type FleetHost, type RevisionInList } from '@floe/store';
import { releaseWords, utcTime, whyWords } from '@floe/views';
import { admittedNow } from './admission.ts';
import { rolloutFacts } from './facts.ts';
import { hostWindowState } from './windows.ts';
import { waitsOf } from './next.ts';
import { judgeResume, judgeRetry, refusalToOrder } from '../decisions.ts';
import { unknownAuthorWords } from './orders.ts';
import { namesFrom } from '../names-from.ts';

export interface WhyContext {
  readonly fleet: Fleet;
  /** The newest revision, and what its hosts came to. */
  readonly newest: RevisionInList | undefined;
  /** What the newest one waits for before it is evaluated. */
  readonly waits?: WaitsForCommit | undefined;
  readonly evaluations: readonly Evaluation[];
  /** Of the rollout's revision: for the labels. */
  readonly labelled: readonly Evaluation[];
  /** What hosts say that they have downloaded ahead. */
  readonly staged: ReadonlyMap<HostName, StorePath>;
  /** The commit of the stepping stone that the host has not run; undefined: there is none, or it is not known. */
  readonly stoneCommit?: CommitSha | undefined;
  readonly now: number;
}

/** What stands between the host and the newest commit, from what the decisions are made from. Undefined: there is no such host. Pure. */
export function viewWhy(host: HostName, context: WhyContext): WhyView | undefined {
  const each = context.fleet.hosts.find(({ row }) => row.host === host);
  if (each === undefined) return undefined;
  const { row, quarantines } = each;
  const evaluation = context.evaluations.find((some) => some.host === host);
  const isDownloaded = evaluation?.toplevel !== undefined && context.staged.get(host) === evaluation.toplevel;
  const release = releaseNames(each, context.stoneCommit);
  const rolledBack = quarantines.find(({ toplevel }) => toplevel === evaluation?.toplevel)?.reason;
  const rename = renameOf(host, context);
  const unknownAuthor = unknownAuthorWords(context.fleet.rollout ?? {});
  const { desired } = each;
  const may = { mayRetry: judgeRetry(row, desired, context.now).kind === 'retry', mayResume: judgeResume(row, desired).kind === 'retry' };
  const about = { host, error: evaluation?.error, rename, commit: context.newest?.sha, ...may, unknownAuthor, isDownloaded, release, time: utcTime };
  return whyNot(whyFactsOf(each, evaluation, context), context.now).map((reason) => {
    const said = reason.rule === 'quarantined' ? (rolledBack ?? row.detail?.message) : row.detail?.message;
    const { text, end } = whyWords(reason, { ...about, said });
    return { rule: reason.rule, text: storableText(text), end };
  });
}

/** The rename that the host's machine waits for: of either name. Undefined: none. */
function renameOf(host: HostName, { fleet, evaluations }: WhyContext): { readonly from: HostName; readonly to: HostName } | undefined {
  const isEnrolled = (name: HostName): boolean => fleet.hosts.some(({ row }) => row.host === name && refusalToOrder(row) === undefined);
  const to = namesFrom(evaluations).get(host);
  if (to !== undefined) return isEnrolled(host) ? { from: host, to } : undefined;
  const from = evaluations.find((some) => some.host === host)?.formerHost;
  return from !== undefined && isEnrolled(from) ? { from, to: host } : undefined;
}

/** The releases of one host that the rules are about, by the commits that they are of. */
function releaseNames({ pins, situation, row, desired, desiredCommit }: FleetHost, stoneCommit: CommitSha | undefined) {
  const told = desired.kind === 'release' && desired.release.sequence === row.desired?.sequence ? desired.release.sequence : undefined;
  const commits = new Map<number | undefined, CommitSha | null | undefined>([
    [situation.stone?.sequence, stoneCommit],
    [told, desiredCommit],
    ...(pins ?? []).map(({ sequence, commit }) => [sequence, commit] as const),
  ]);
  return (sequence: number): string => releaseWords(sequence, commits.get(sequence));
}

function whyFactsOf(each: FleetHost, evaluation: Evaluation | undefined, { fleet, newest, waits: older, labelled, now }: WhyContext): WhyFacts {
  const { row, situation, desired } = each;
  const { rollout, next } = fleet;
  const ring =
    rollout === undefined ? undefined : { course: rollout.course, facts: rolloutFacts(rollout, fleet.hosts, now), ring: ringIn(rollout)(row.host) };
  const waits = next !== undefined && next.revisionId === newest?.id ? waitsOf(fleet, ring?.facts, now) : undefined;
  const gone = fleet.hosts.map((some) => some.row).filter(({ went }) => went !== undefined && went.until >= now);
  const labels = new Map(labelled.map((some) => [some.host, some.labels ?? []]));
  return {
    ...factsOf(row, desired, { kind: 'unknown' }),
    host: row.host,
    newest: newestOf({ newest, waits: older }, evaluation, rollout),
    situation,
    rollout: ring,
    train: waits?.for === 'train' ? { after: next?.after, until: waits.until } : undefined,
    window: rollout === undefined ? undefined : windowOf(rollout, each, now),
    admitted: admittedNow({ rollout, asking: each, gone, labels }, now),
  };
}

function windowOf(rollout: CurrentRollout, { row, timeZone }: FleetHost, now: number): WhyFacts['window'] {
  const ring = ringIn(rollout)(row.host);
  const { isOpen, changesAt } = hostWindowState(rollout.policy, ring, timeZone, now);
  const isByHost = goByHostTime(rollout.policy.rings[ring]?.windows ?? []);
  return isOpen ? undefined : { opensAt: changesAt, timeZone: isByHost ? (timeZone ?? DEFAULT_TIME_ZONE) : undefined };
}

function newestOf(
  { newest, waits }: Pick<WhyContext, 'newest' | 'waits'>,
  evaluation: Evaluation | undefined,
  rollout: CurrentRollout | undefined,
): WhyFacts['newest'] {
  if (newest === undefined) return { kind: 'none' };
  // Its other hosts may still be evaluated or built.
  const isKnown = evaluation !== undefined && evaluation.outcome !== 'NOT_EVALUATED';
  const isReady = rollout?.revisionId === newest.id && isKnown && rollout.coming?.has(evaluation.host) !== true;
  return isEndedRevision(newest.state) || (isReady && isHandingOut(newest.state))
    ? { kind: 'ended', offer: offerOf(newest.state, evaluation) }
    : { kind: 'unfinished', waits };
}
