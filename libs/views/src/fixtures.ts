import { countRollout } from '@floe/model';
import { FleetView, HostView, ReportView, RevisionView, type RingView } from '@floe/protocol';
import * as v from 'valibot';

/** The server's time in every canned view. */
export const NOW = 1_790_000_000_000;
export const SHA = '3f9c2ab1d0e4c5b6a7988b9cadbecfd0e1f20314';

export const SUBJECT = 'Add the printer of the second floor';

/** A store path whose hash starts with `start`. */
export function storePath(start: string): string {
  return `/nix/store/${start.padEnd(32, '0')}-nixos-system-ws-26.05`;
}

/** A ring whose turn it is, of three hosts, with `over` in place of what it names. */
export function ringView(over: Partial<RingView> = {}): RingView {
  return {
    name: 'canary',
    state: 'current',
    counts: { eligible: 3, verified: 1, failed: 0, acknowledged: 0, inFlight: 1, waiting: 0, toCome: 0, away: 1 },
    needed: 1,
    untried: null,
    building: 0,
    evaluating: 0,
    downloaded: 0,
    soakMs: 0,
    soakUntil: null,
    deadlineAt: null,
    opensAt: null,
    probes: [],
    missingApprovals: null,
    ...over,
  };
}

/** A host in sync on `aaaaaaaa…`, with `over` in place of what it names. */
export function hostView(host: string, over: Partial<v.InferInput<typeof HostView>> = {}, now = NOW): HostView {
  const toplevel = storePath('aaaaaaaa');
  return v.parse(HostView, {
    host,
    standing: 'in-sync',
    isConnected: true,
    presence: over.isConnected === false ? 'away' : 'online',
    isEnrolled: true,
    problem: null,
    desired: { toplevel, commit: SHA, subject: SUBJECT, sequence: 7, epoch: 3, since: now - 60_000 },
    observed: { current: toplevel, booted: toplevel, profile: { generation: 12, toplevel } },
    runs: { commit: SHA, sequence: 7, subject: SUBJECT },
    state: 'SUCCEEDED',
    stateToplevel: toplevel,
    stateSince: now - 50_000,
    detail: null,
    progress: null,
    lastSeenAt: now - 1_000,
    agentVersion: '0.1.0',
    machineId: 'c'.repeat(32),
    ...over,
  });
}

/** A published revision whose rollout is under way, with `over` in place of what it names. */
export function revisionView(over: Partial<v.InferInput<typeof RevisionView>> = {}, now = NOW): RevisionView {
  return v.parse(RevisionView, {
    sha: SHA,
    sequence: 7,
    state: 'PUBLISHED',
    error: null,
    subject: SUBJECT,
    author: 'Ada Lovelace',
    receivedAt: now - 240_000,
    fetchedAt: now - 239_600,
    evaluatedAt: now - 236_000,
    builtAt: now - 224_000,
    publishedAt: now - 222_000,
    rollout: {
      state: 'ROLLING',
      counts: countRollout(['in-sync', 'under-way', 'rolled-back']),
      description: '1 of 3 on it, 1 under way, 1 rolled back',
      startedAt: now - 222_000,
      completedAt: null,
    },
    hosts: [],
    ...over,
  });
}

export function fleetView(over: Partial<v.InferInput<typeof FleetView>> = {}, now = NOW): FleetView {
  return v.parse(FleetView, {
    version: 40,
    serverTime: now,
    repository: {
      url: 'https://git.example.org/it/fleet.git',
      branch: 'main',
      acceptedCommit: SHA,
      lastFetchAt: now - 12_000,
      problem: null,
      held: null,
    },
    revision: revisionView({}, now),
    hosts: [hostView('ws10', {}, now), hostView('ws2', {}, now)],
    ...over,
  });
}

export function reportView(host: string, over: Partial<v.InferInput<typeof ReportView>> = {}, now = NOW): ReportView {
  const toplevel = storePath('aaaaaaaa');
  return v.parse(ReportView, {
    host,
    series: 0,
    seq: 5,
    epoch: 3,
    state: 'SUCCEEDED',
    toplevel,
    commit: { commit: SHA, sequence: 7, subject: SUBJECT },
    observed: { current: toplevel, booted: toplevel, profile: { generation: 12, toplevel } },
    detail: null,
    timings: { downloadMs: 2_100, activateMs: 340 },
    hasLog: false,
    at: now - 50_000,
    receivedAt: now - 50_000,
    ...over,
  });
}
