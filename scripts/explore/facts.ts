import {
  hasApprovals,
  hasArrived,
  isLost,
  NO_ORDERS,
  pendingStone,
  progressOf,
  VERDICT_MS,
  type HostProgress,
  type LabelStop,
  type ReleaseRef,
  type ReportedState,
  type RingHost,
  type RolloutFacts,
  type RolloutOrders,
  type SteppingStone,
  type StorePath,
  type Went,
} from '@floe/model';
import { NOW, type Revision, type Scene } from './scene.ts';
import { changeOf, revisionOf, systemIn, systemOf, type Host, type Row, type State } from './state.ts';

// What the server knows: the facts of its decisions, from what it has stored.

/** The release that the host has by that revision: its own, or that of the last one before it that changed the host. */
export function releaseOf({ name }: Host, revision: Revision, scene: Scene): ReleaseRef {
  const change = changeOf(name, revision, scene);
  return { id: `${name}@${change}`, host: name, sequence: change + 1, toplevel: systemOf(name, change) };
}

export function ringOf(state: State, host: Host, { rings }: Scene): number {
  return rings[state.hosts.findIndex(({ name }) => name === host.name)] ?? 0;
}

export const SAID = { by: 'ada', reason: 'it is bad', at: NOW };

export function ordersOf({ isFrozen, stopped, approvals, resumeOf, isReverted }: State): RolloutOrders {
  return {
    ...NO_ORDERS,
    approvals,
    stops: stopped.map((label) => ({ ...SAID, label, until: undefined })),
    freeze: isFrozen ? { by: 'ada', reason: 'holidays', at: NOW, until: undefined } : undefined,
    abort: isReverted ? { ...SAID, role: 'operator', isRevert: true } : undefined,
    resume: resumeOf === undefined ? undefined : { by: 'ada', role: 'operator', reason: 'seen', at: NOW, of: resumeOf },
  };
}

/** What the server has of its last report. */
export function reportedBy({ row }: Host): ReportedState {
  const { state, subject, runs, profile } = row.seen;
  const observed = { current: runs, booted: null, profile: { generation: 1, toplevel: profile } };
  return { observed, state, subject, isOverridden: row.isOverridden, isRetryPending: row.isRetry };
}

export function progressTowards(host: Host, toplevel: StorePath): HostProgress {
  const { row, session } = host;
  const isQuarantined = row.quarantined.includes(toplevel);
  const since = row.seen.isLong ? NOW - VERDICT_MS - 1 : NOW;
  return progressOf({ ...reportedBy(host), since, isConnected: session !== undefined, toplevel, isQuarantined, went: wentOf(row.went) }, NOW);
}

export function wentOf(went: Row['went']): Went | undefined {
  return went && { toplevel: went.toplevel, epoch: went.epoch, until: went.isExpired ? NOW - 1 : NOW };
}

export function factsOf(state: State, scene: Scene): RolloutFacts {
  const hosts = state.hosts.map((host): RingHost => {
    const { row } = host;
    const ring = ringOf(state, host, scene);
    const toplevel = systemIn(state.newest, host, scene);
    const progress = progressTowards(host, toplevel);
    const isOrderedAway = row.ordered.includes(toplevel) && progress !== 'failed';
    const isStoppedAway = stopsOf(state, host, scene).length > 0 && (progress === 'to-come' || progress === 'waiting' || progress === 'away');
    const stone = stoneOf(host, scene);
    const isStuck =
      stone !== undefined && stone.toplevel !== toplevel && (row.quarantined.includes(stone.toplevel) || row.ordered.includes(stone.toplevel));
    const isElsewhere = isStuck || isOrderedAway || isStoppedAway || isKeptByPerson(row) || row.isOverridden;
    const isStable = systemOf(host.name, row.stable) === toplevel;
    return {
      host: host.name,
      ring,
      toplevel,
      change: revisionOf(toplevel) + 1,
      platform: undefined,
      isEligible: !isElsewhere && !isStable,
      isKept: isElsewhere && !isStable,
      progress,
      isBrieflyAway: false,
      failure: undefined,
      isAcknowledged: row.acknowledged.includes(toplevel),
      failedBefore: isElsewhere ? undefined : failedBefore(host, toplevel),
    };
  });
  const windows = scene.policy.rings.map(() => ({ isOpen: true, openMs: 0 }));
  const binds = hasApprovals(scene.policy) ? bindsOf(state) : undefined;
  const { answers: probes } = state.probe;
  return {
    policy: scene.policy,
    hosts,
    windows,
    orders: ordersOf(state),
    probes,
    binds,
    authors: ['eve'],
    hasUnknownAuthor: false,
    hasOtherAdministrator: true,
    weaker: [],
  };
}

/** A trial, a pin or a hold. */
export function isKeptByPerson({ trial, pinned, held }: Row): boolean {
  return trial?.isEnded === false || pinned !== undefined || held !== undefined;
}

function isLostNow({ row, session }: Host): boolean {
  const { state, subject, isLong } = row.seen;
  const went = wentOf(row.went);
  const since = isLong ? NOW - VERDICT_MS - 1 : NOW;
  return went !== undefined && isLost({ state, subject, since, isConnected: session !== undefined, went, toplevel: went.toplevel }, NOW);
}

/** What failed on it and is not counted as its own: with earlier commits, and with what is stable for it. */
function failedBefore(host: Host, toplevel: StorePath): RingHost['failedBefore'] {
  const { row } = host;
  const lost = row.went !== undefined && isLostNow(host) ? [row.went.toplevel] : [];
  const failed = [...new Set([...row.quarantined, ...lost])].filter(
    (system) => revisionOf(system) < revisionOf(toplevel) || (system === toplevel && revisionOf(system) === row.stable),
  );
  if (failed.length === 0) return undefined;
  return failed.map((system) => ({
    toplevel: system,
    change: revisionOf(system) + 1,
    failure: undefined,
    isAcknowledged: row.acknowledged.includes(system),
  }));
}

/** What an approval is for. */
export function bindsOf({ newest, builds }: State): string {
  return `${newest}.${builds}`;
}

export function stoneOf(host: Host, scene: Scene): SteppingStone | undefined {
  const { stones, told } = host.row;
  if (stones.length === 0) return undefined;
  const named = stones.map((revision) => ({ ...releaseOf(host, revision, scene), name: 'key' }));
  return pendingStone(named, { floor: told + 1, hasArrived: (toplevel) => hasArrived(reportedBy(host), toplevel) });
}

/** The stops of its labels. */
export function stopsOf(state: State, host: Host, { labels }: Scene): readonly LabelStop[] {
  const label = labels[state.hosts.findIndex(({ name }) => name === host.name)];
  return (ordersOf(state).stops ?? []).filter((stop) => stop.label === label);
}
