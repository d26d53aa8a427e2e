import type { FleetView, HostView, RevisionView } from '@floe/protocol';
import * as views from '@floe/views/fixtures';
import { hostView, NOW, SHA, storePath } from '@floe/views/fixtures';

export { hostView, NOW, reportView, SHA } from '@floe/views/fixtures';

/** A host that rolled back `bbbbbbbb…`. */
export function rolledBackHost(host: string): HostView {
  const wanted = storePath('bbbbbbbb');
  return hostView(host, {
    standing: 'rolled-back',
    state: 'ROLLED_BACK',
    stateToplevel: wanted,
    desired: { toplevel: wanted, commit: SHA, sequence: 7, epoch: 4, since: NOW - 200_000 },
    problem: 'rolled back: the check "printer" failed 3 times',
    actions: ['retry', 'revoke'],
    stateSince: NOW - 180_000,
  });
}

/** A revision that changed two hosts. */
export function revisionView(over: Parameters<typeof views.revisionView>[0] = {}): RevisionView {
  return views.revisionView({
    hosts: [
      {
        host: 'ws1',
        outcome: 'CHANGED',
        toplevel: storePath('aaaaaaaa'),
        error: null,
        warnings: [],
        retryAt: null,
        evaluateMs: 2_100,
        buildMs: 9_000,
      },
      {
        host: 'ws2',
        outcome: 'CHANGED',
        toplevel: storePath('bbbbbbbb'),
        error: null,
        warnings: [],
        retryAt: null,
        evaluateMs: 1_900,
        buildMs: 8_000,
      },
    ],
    ...over,
  });
}

/** Three hosts: one in order, one that rolled back, one that is away. */
export function fleetView(over: Parameters<typeof views.fleetView>[0] = {}): FleetView {
  const away = hostView('ws10', { standing: 'away', isConnected: false, lastSeenAt: NOW - 7_200_000 });
  const repository = {
    url: 'https://git.example.org/fleet',
    branch: 'main',
    acceptedCommit: SHA,
    lastFetchAt: NOW - 12_000,
    problem: null,
    held: null,
  };
  return views.fleetView({ repository, revision: revisionView(), hosts: [hostView('ws1'), rolledBackHost('ws2'), away], ...over });
}

/** A fleet that needs nobody. */
export function calmFleet(): FleetView {
  return fleetView({ hosts: [hostView('ws1')], revision: revisionView({ hosts: [] }) });
}
