import { DEFAULT_DOWNLOADS, DEFAULT_PRESENCE, DEFAULT_SHRINK, defaultGates, type RingPolicy, type RolloutPolicy } from '@floe/model';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** When the machines of the last ring may change, by the time of each of them. */
export const DAY_HOURS = { from: 6, hours: 14 } as const;

/** What commits of the company change of its policy, each one of them to another of these values. */
export const POLICY_CHANGES = {
  soakMinutes: [20, 30, 45],
  earlyShare: [5, 10, 20],
  approvals: [0, 1, 2],
  errorPercent: [0, 10],
} as const;
export type PolicyValues = { readonly [Name in keyof typeof POLICY_CHANGES]: number };
export const FIRST_VALUES: PolicyValues = { soakMinutes: 30, earlyShare: 10, approvals: 1, errorPercent: 10 };

const IN_WORDS: { readonly [Name in keyof PolicyValues]: (value: number) => string } = {
  soakMinutes: (value) => `soak ${value} min`,
  earlyShare: (value) => `early ${value} %`,
  approvals: (value) => `approvals ${value}`,
  errorPercent: (value) => `errors ${value} %`,
};

/** What changes, e.g. "soak 20 min (was 30)". */
export function changedWords(before: PolicyValues, after: PolicyValues): string {
  const names = Object.keys(POLICY_CHANGES) as (keyof PolicyValues)[];
  return names.flatMap((name) => (before[name] === after[name] ? [] : [`${IN_WORDS[name](after[name])} (was ${before[name]})`])).join(', ');
}

/** One of them is looser. Which hosts a share moves is another question. */
export function isLooser(before: PolicyValues, after: PolicyValues): boolean {
  return after.soakMinutes < before.soakMinutes || after.approvals < before.approvals || after.errorPercent > before.errorPercent;
}

/** What a commit changes of the policy: one value, to another. */
export function valuesAfter(before: PolicyValues, { policy }: { readonly policy: readonly [number, number] | undefined }): PolicyValues {
  if (policy === undefined) return before;
  const names = Object.keys(POLICY_CHANGES) as (keyof PolicyValues)[];
  const name = names[Math.floor(policy[0] * names.length)];
  if (name === undefined) return before;
  const others = POLICY_CHANGES[name].filter((value) => value !== before[name]);
  return { ...before, [name]: others[Math.floor(policy[1] * others.length)] ?? before[name] };
}

/**
 * A company: canaries by label, whose error rate a probe watches, a tenth of the fleet by share, then everyone, by day and after a person
 * approved it. The first complete commit is a stepping stone.
 */
export function companyPolicy(hostCount: number, values: PolicyValues = FIRST_VALUES): RolloutPolicy {
  const { soakMinutes, earlyShare, approvals, errorPercent } = values;
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
    rings: [
      { ...ring(0, 'canary', { labels: ['canary'] }), soakMs: soakMinutes * MINUTE, probes: [{ name: 'errors', everyMs: 5 * MINUTE }] },
      { ...ring(1, 'early', { share: earlyShare }), errors: { percent: errorPercent, minStarted: 3 } },
      {
        ...ring(2, 'everyone', {}),
        windows: [{ kind: 'allow', cron: `0 ${DAY_HOURS.from} * * *`, durationMs: DAY_HOURS.hours * HOUR, timeZone: 'host' }],
        approvals: approvals === 0 ? undefined : { count: approvals, role: 'approver', notAuthor: false },
      },
    ],
    labels: {},
    maxInFlight: Math.max(10, Math.round(hostCount / 50)),
    budgets: [{ label: 'dns', atMost: 1 }],
    checks: [],
    steppingStones: ['new-agent'],
    shrink: DEFAULT_SHRINK,
    presence: DEFAULT_PRESENCE,
    downloads: DEFAULT_DOWNLOADS,
    notify: {},
  };
}
