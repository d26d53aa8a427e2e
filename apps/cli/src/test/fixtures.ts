import { FleetView, HostView, ReportView, RevisionView } from '@floe/protocol';
import * as v from 'valibot';

/** The server's time in every canned view. */
export const NOW = 1_790_000_000_000;
export const SHA = '3f9c2ab1d0e4c5b6a7988b9cadbecfd0e1f20314';

/** A store path whose hash starts with `start`. */
export function storePath(start: string, name = 'nixos-system-ws-26.05'): string {
  return `/nix/store/${start.padEnd(32, '0')}-${name}`;
}

/** A host in sync on `aaaaaaaa…`, with `over` in place of what it names. */
export function hostView(host: string, over: Partial<v.InferInput<typeof HostView>> = {}): HostView {
  const toplevel = storePath('aaaaaaaa');
  return v.parse(HostView, {
    host,
    standing: 'in-sync',
    isConnected: true,
    isEnrolled: true,
    isBehind: false,
    problem: null,
    desired: { toplevel, commit: SHA, sequence: 7, epoch: 3, since: NOW - 60_000 },
    observed: { current: toplevel, booted: toplevel, profile: { generation: 12, toplevel } },
    state: 'SUCCEEDED',
    stateToplevel: toplevel,
    stateSince: NOW - 50_000,
    detail: null,
    progress: null,
    lastSeenAt: NOW - 1_000,
    agentVersion: '0.1.0',
    machineId: 'c'.repeat(32),
    ...over,
  });
}

/** A host that put back `bbbbbbbb…`. */
export function rolledBackHost(host: string): HostView {
  const wanted = storePath('bbbbbbbb');
  return hostView(host, {
    standing: 'rolled-back',
    state: 'ROLLED_BACK',
    stateToplevel: wanted,
    desired: { toplevel: wanted, commit: SHA, sequence: 7, epoch: 4, since: NOW - 200_000 },
    problem: `put itself back: the check "printer" failed 3 times; push a fix, or run: floe retry ${host} --reason "…"`,
    stateSince: NOW - 180_000,
  });
}

/** A published revision whose rollout is under way, with `over` in place of what it names. */
export function revisionView(over: Partial<v.InferInput<typeof RevisionView>> = {}): RevisionView {
  return v.parse(RevisionView, {
    sha: SHA,
    sequence: 7,
    state: 'PUBLISHED',
    error: null,
    subject: 'Add the printer of the second floor',
    author: 'Ada Lovelace',
    receivedAt: NOW - 240_000,
    fetchedAt: NOW - 239_600,
    evaluatedAt: NOW - 236_000,
    builtAt: NOW - 224_000,
    publishedAt: NOW - 222_000,
    rollout: {
      state: 'ROLLING',
      counts: { total: 3, onIt: 1, underWay: 1, rolledBack: 1, failed: 0, away: 0, notEnrolled: 0, behind: 0 },
      description: '1 of 3 on it, 1 under way, 1 rolled back',
      startedAt: NOW - 222_000,
      completedAt: null,
    },
    hosts: [
      { host: 'ws1', outcome: 'CHANGED', toplevel: storePath('aaaaaaaa'), error: null, evaluateMs: 2100, buildMs: 9000 },
      { host: 'ws2', outcome: 'CHANGED', toplevel: storePath('bbbbbbbb'), error: null, evaluateMs: 1900, buildMs: 8000 },
    ],
    ...over,
  });
}

export function fleetView(over: Partial<v.InferInput<typeof FleetView>> = {}): FleetView {
  return v.parse(FleetView, {
    version: 40,
    serverTime: NOW,
    repository: { url: 'https://git.example.org/fleet', branch: 'main', acceptedCommit: SHA, lastFetchAt: NOW - 12_000, problem: null, held: null },
    revision: revisionView(),
    hosts: [hostView('ws1'), rolledBackHost('ws2'), hostView('ws10', { standing: 'away', isConnected: false, lastSeenAt: NOW - 7_200_000 })],
    ...over,
  });
}

/** A fleet that needs nobody. */
export function calmFleet(): FleetView {
  return fleetView({ hosts: [hostView('ws1')], revision: revisionView({ hosts: [] }) });
}

export function reportView(host: string, over: Partial<v.InferInput<typeof ReportView>> = {}): ReportView {
  const toplevel = storePath('aaaaaaaa');
  return v.parse(ReportView, {
    host,
    seq: 5,
    epoch: 3,
    state: 'SUCCEEDED',
    toplevel,
    observed: { current: toplevel, booted: toplevel, profile: { generation: 12, toplevel } },
    detail: null,
    timings: { downloadMs: 2100, activateMs: 340 },
    at: NOW - 50_000,
    receivedAt: NOW - 50_000,
    ...over,
  });
}
