import { DEFAULT_DOWNLOADS, DEFAULT_PRESENCE, DEFAULT_SHRINK, defaultGates, type RingPolicy, type RolloutPolicy } from '@floe/model';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** When the machines of the last ring may change, by the time of each of them. */
export const DAY_HOURS = { from: 6, hours: 14 } as const;

/** The rings of the company, whatever they are called. */
export type RingId = 'vanguard' | 'canary' | 'early' | 'servers' | 'everyone';

/** Which rings there are, in their order. */
const SHAPES: readonly (readonly RingId[])[] = [
  ['canary', 'early', 'everyone'],
  ['early', 'canary', 'everyone'],
  ['canary', 'everyone'],
  ['canary', 'early', 'servers', 'everyone'],
  ['vanguard', 'canary', 'early', 'everyone'],
];

/** What commits of the company change of its policy, each one of them to another of these values. */
export const POLICY_CHANGES = {
  soakMinutes: [20, 30, 45],
  earlyShare: [5, 10, 20],
  approvals: [0, 1, 2],
  errorPercent: [0, 10],
  earlyVerified: [1, 3],
  /** Of the usual limit. */
  inFlightPercent: [40, 100, 200],
  dnsAtOnce: [1, 2],
  /** An index of {@link SHAPES}. Twice as often as the others. */
  shape: [0, 1, 2, 3, 4],
  /** 1: the ring of the share has another name. */
  earlyName: [0, 1],
} as const;
export type PolicyValues = { readonly [Name in keyof typeof POLICY_CHANGES]: number };
export const FIRST_VALUES: PolicyValues = {
  soakMinutes: 30,
  earlyShare: 10,
  approvals: 1,
  errorPercent: 10,
  earlyVerified: 1,
  inFlightPercent: 100,
  dnsAtOnce: 1,
  shape: 0,
  earlyName: 0,
};

const IN_WORDS: { readonly [Name in keyof PolicyValues]: (value: number) => string } = {
  soakMinutes: (value) => `soak ${value} min`,
  earlyShare: (value) => `early ${value} %`,
  approvals: (value) => `approvals ${value}`,
  errorPercent: (value) => `errors ${value} %`,
  earlyVerified: (value) => `verified ${value}`,
  inFlightPercent: (value) => `limit ${value}`,
  dnsAtOnce: (value) => `dns ${value}`,
  shape: (value) => `rings no. ${value}`,
  earlyName: (value) => `name no. ${value}`,
};

const EARLY_NAMES = ['early', 'tenth'] as const;

/** The rings of such a policy, in their order. */
export function ringsWith({ shape }: PolicyValues): readonly RingId[] {
  return SHAPES[shape] ?? [];
}

/** What changes, e.g. "soak 20 min (was 30)". */
export function changedWords(before: PolicyValues, after: PolicyValues): string {
  const names = Object.keys(POLICY_CHANGES) as (keyof PolicyValues)[];
  return names.flatMap((name) => (before[name] === after[name] ? [] : [`${IN_WORDS[name](after[name])} (was ${before[name]})`])).join(', ');
}

/** One of them is looser, for certain. Which hosts move between rings is another question. */
export function isLooser(before: PolicyValues, after: PolicyValues): boolean {
  const [were, are] = [ringsWith(before), ringsWith(after)];
  const kept = are.filter((ring) => were.includes(ring));
  const isGone = kept.length < were.length;
  const isReordered = were.filter((ring) => kept.includes(ring)).some((ring, index) => kept[index] !== ring);
  // Its soak is the shortest.
  const isFirstLooser = are[0] === 'vanguard' && were[0] !== 'vanguard';
  const isEarlyLooser = kept.includes('early') && (after.errorPercent > before.errorPercent || after.earlyVerified < before.earlyVerified);
  return (
    isGone ||
    isReordered ||
    isFirstLooser ||
    isEarlyLooser ||
    after.soakMinutes < before.soakMinutes ||
    after.approvals < before.approvals ||
    after.inFlightPercent > before.inFlightPercent ||
    after.dnsAtOnce > before.dnsAtOnce
  );
}

/** What a commit changes of the policy: one value, to another. */
export function valuesAfter(before: PolicyValues, { policy }: { readonly policy: readonly [number, number] | undefined }): PolicyValues {
  if (policy === undefined) return before;
  const names = [...(Object.keys(POLICY_CHANGES) as (keyof PolicyValues)[]), 'shape'] as const;
  const name = names[Math.floor(policy[0] * names.length)];
  if (name === undefined) return before;
  const others = POLICY_CHANGES[name].filter((value) => value !== before[name]);
  return { ...before, [name]: others[Math.floor(policy[1] * others.length)] ?? before[name] };
}

/**
 * A company: canaries by label, a tenth of the fleet by share, then everyone, by day and after a person
 * approved it; some of its commits have other rings. A probe watches the error rate of the first. The first complete commit is a stepping stone.
 */
export function companyPolicy(hostCount: number, values: PolicyValues = FIRST_VALUES): RolloutPolicy {
  const { soakMinutes, earlyShare, approvals, errorPercent, earlyVerified, inFlightPercent, dnsAtOnce, earlyName } = values;
  const ring = (gates: number, name: string, members: Partial<RingPolicy['members']>): RingPolicy => ({
    name,
    members: { hosts: [], labels: [], share: undefined, ...members },
    ...defaultGates(gates, 3),
    maxInFlight: undefined,
    windows: [],
    approvals: undefined,
    probes: [],
    pauseAfter: false,
  });
  const rings: Readonly<Record<RingId, RingPolicy>> = {
    vanguard: { ...ring(0, 'vanguard', { hosts: ['server-7'] }), soakMs: 15 * MINUTE },
    canary: { ...ring(0, 'canary', { labels: ['canary'] }), soakMs: soakMinutes * MINUTE },
    early: {
      ...ring(1, EARLY_NAMES[earlyName] ?? 'early', { share: earlyShare }),
      errors: { percent: errorPercent, minStarted: 3 },
      minVerified: earlyVerified,
    },
    servers: ring(1, 'servers', { labels: ['server'] }),
    everyone: {
      ...ring(2, 'everyone', {}),
      windows: [{ kind: 'allow', cron: `0 ${DAY_HOURS.from} * * *`, durationMs: DAY_HOURS.hours * HOUR, timeZone: 'host' }],
      approvals: approvals === 0 ? undefined : { count: approvals, role: 'approver', notAuthor: false },
    },
  };
  return {
    rings: ringsWith(values).map((id, index) => ({ ...rings[id], probes: index === 0 ? [{ name: 'errors', everyMs: 5 * MINUTE }] : [] })),
    labels: {},
    maxInFlight: Math.round((Math.max(10, Math.round(hostCount / 50)) * inFlightPercent) / 100),
    budgets: [{ label: 'dns', atMost: dnsAtOnce }],
    checks: [],
    steppingStones: ['new-agent'],
    shrink: DEFAULT_SHRINK,
    presence: DEFAULT_PRESENCE,
    downloads: DEFAULT_DOWNLOADS,
    notify: {},
  };
}
