import type { HostView, RevisionView } from '@floe/protocol';
import type { FolderObservation, PostedStatus, TestFleet } from '@floe/testkit';
import { finalStatuses } from './final-statuses.ts';
import type { Expected } from './pushes.ts';

/** Durations in ms; null: the push did not reach that stage. */
export interface StageTimes {
  readonly received: number | null;
  readonly fetched: number | null;
  readonly evaluated: number | null;
  readonly built: number | null;
  readonly published: number | null;
  readonly directed: number | null;
  readonly switched: number | null;
  readonly statusPosted: number | null;
}

export interface HostResult {
  /** The toplevel of the host at the pushed commit; null: none. */
  readonly wanted: string | null;
  /** The systems that the links of its folder show as running and as booted next. */
  readonly observed: string | null;
  readonly outcome: Expected | 'unexpected';
  readonly isAsExpected: boolean;
}

export interface PushResult {
  readonly push: string;
  readonly commit: string;
  readonly hosts: Record<string, HostResult>;
  readonly stagesMs: StageTimes;
  readonly totalMs: number;
  /** The final statuses of the commit. */
  readonly statuses: readonly Pick<PostedStatus, 'context' | 'state' | 'description'>[];
}

export type Before = ReadonlyMap<string, FolderObservation>;

/** Waits until a push has finished, and reads its result from the machines' folders. */
export async function observePush(
  fleet: TestFleet,
  push: {
    readonly message: string;
    readonly commit: string;
    readonly pushedAt: number;
    readonly before: Before;
    readonly expected: Readonly<Record<string, Expected>>;
  },
): Promise<PushResult> {
  const revision = await fleet.settled(push.commit);
  const statuses = await finalStatuses(fleet, revision);
  const statusAt = Math.max(...statuses.map(({ at }) => at));
  const view = await fleet.fleetView();
  const hosts: Record<string, HostResult> = {};
  for (const [host, expected] of Object.entries(push.expected)) {
    const after = await fleet.machine(host).observe();
    const wanted = revision.hosts.find((each) => each.host === host)?.toplevel ?? null;
    const isQueued = view.hosts.find((each) => each.host === host)?.standing === 'queued';
    const outcome = judge(wanted, push.before.get(host), after, isQueued);
    hosts[host] = { wanted, observed: after.current ?? null, outcome, isAsExpected: outcome === expected };
  }
  const moved = view.hosts.filter((host) =>
    Object.entries(hosts).some(([name, result]) => name === host.host && (result.outcome === 'switched' || result.outcome === 'rolled-back')),
  );
  return {
    push: push.message,
    commit: push.commit,
    hosts,
    stagesMs: stageTimes(push.pushedAt, revision, moved, statusAt),
    totalMs: statusAt - push.pushedAt,
    statuses: statuses.map(({ context, state, description }) => ({ context, state, description })),
  };
}

function judge(wanted: string | null, before: FolderObservation | undefined, after: FolderObservation, isQueued: boolean): Expected | 'unexpected' {
  const isUnmoved = after.current === before?.current && after.profile === before?.profile;
  const isWhole = after.current !== undefined && after.current === after.profile;
  if (!isWhole) return 'unexpected';
  if (wanted === null) return isUnmoved ? 'behind' : 'unexpected';
  if (after.current === wanted) return isUnmoved ? 'untouched' : 'switched';
  if (!isUnmoved) return 'unexpected';
  return isQueued ? 'not-reached' : 'rolled-back';
}

function stageTimes(pushedAt: number, revision: RevisionView, moved: readonly HostView[], statusAt: number): StageTimes {
  const since = (later: number | null, earlier: number | null): number | null =>
    later === null || earlier === null ? null : Math.max(0, later - earlier);
  const directedAt = maximum(moved.map((host) => host.desired?.since ?? null));
  const switchedAt = maximum(moved.map((host) => host.stateSince));
  return {
    received: since(revision.receivedAt, pushedAt),
    fetched: since(revision.fetchedAt, revision.receivedAt),
    evaluated: since(revision.evaluatedAt, revision.fetchedAt),
    built: since(revision.builtAt, revision.evaluatedAt),
    published: since(revision.publishedAt, revision.builtAt),
    directed: since(directedAt, revision.publishedAt),
    switched: since(switchedAt, directedAt),
    statusPosted: since(statusAt, switchedAt ?? revision.publishedAt ?? revision.evaluatedAt),
  };
}

function maximum(values: readonly (number | null)[]): number | null {
  const numbers = values.filter((value) => value !== null);
  return numbers.length === 0 ? null : Math.max(...numbers);
}
