import { DEFAULT_DOWNLOADS, DEFAULT_PRESENCE, DEFAULT_SHRINK, defaultGates, type RingPolicy, type RolloutPolicy } from '@floe/model';

/** A company: canaries by label, a tenth of the fleet by share, then everyone. */
export function companyPolicy(hostCount: number): RolloutPolicy {
  const ring = (index: number, name: string, members: Partial<RingPolicy['members']>): RingPolicy => ({
    name,
    members: { hosts: [], labels: [], share: undefined, ...members },
    ...defaultGates(index, 3),
    maxInFlight: undefined,
    windows: [],
    approvals: undefined,
    probes: [],
    pauseAfter: false,
  });
  return {
    rings: [ring(0, 'canary', { labels: ['canary'] }), ring(1, 'early', { share: 10 }), ring(2, 'everyone', {})],
    labels: {},
    maxInFlight: Math.max(10, Math.round(hostCount / 50)),
    budgets: [{ label: 'dns', atMost: 1 }],
    checks: [],
    steppingStones: [],
    shrink: DEFAULT_SHRINK,
    presence: DEFAULT_PRESENCE,
    downloads: DEFAULT_DOWNLOADS,
    notify: {},
  };
}
