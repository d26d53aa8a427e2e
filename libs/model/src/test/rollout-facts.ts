import type { HostName, StorePath } from '../brands.ts';
import { NO_ORDERS, type RolloutOrders } from '../rollout/course.ts';
import type { RolloutFacts } from '../rollout/facts.ts';
import { DEFAULT_POLICY, defaultGates, type RingPolicy, type RolloutPolicy } from '../rollout/policy.ts';
import type { StoredAnswer } from '../rollout/probe-answer.ts';
import type { HostProgress, RingHost } from '../rollout/progress.ts';

export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;

export const pathOf = (name: string): StorePath => `/nix/store/${'a'.repeat(32)}-${name}` as StorePath;

/** A policy of rings with the default gates, each changed by `changes` at its index. */
export function policyOf(ringCount: number, changes: readonly Partial<RingPolicy>[] = [], rest: Partial<RolloutPolicy> = {}): RolloutPolicy {
  const rings = Array.from({ length: ringCount }, (_, index): RingPolicy => {
    const members = { hosts: [], labels: [], share: undefined };
    const optional = { maxInFlight: undefined, windows: [], approvals: undefined, probes: [], pauseAfter: false };
    return { name: `ring-${index}`, members, ...defaultGates(index, ringCount), ...optional, ...changes[index] };
  });
  return { ...DEFAULT_POLICY, ...rest, rings };
}

/** `canary:0 verified`: a host, its ring and how far it is; `!` at the end: acknowledged, `-`: not eligible, `~`: briefly away; `#2`: of change 2. */
export function ringHost(text: string): RingHost {
  const [, host = '', ring = '', progress = '', mark, change] = /^(\w+):(\d) ([a-z-]*[a-z])([!~-]?)(?:#(\d))?$/.exec(text) ?? [];
  return {
    host: host as HostName,
    ring: Number(ring),
    toplevel: pathOf(host),
    ...(change === undefined ? {} : { change: Number(change) }),
    platform: undefined,
    isEligible: mark !== '-',
    progress: progress as HostProgress,
    isBrieflyAway: mark === '~',
    failure: progress === 'failed' ? 'a unit failed' : undefined,
    isAcknowledged: mark === '!',
  };
}

/** An answer of the probe `errors` about the first ring. */
export function answer(changes: Partial<StoredAnswer> & Pick<StoredAnswer, 'verdict' | 'askedAt'>): StoredAnswer {
  const tries = changes.verdict === 'unknown' ? 1 : 0;
  const nothing = { value: undefined, max: undefined, min: undefined, detail: '' };
  return { ring: 0, name: 'errors', number: 1, tries, isAcknowledged: false, ...nothing, ...changes };
}

export function factsOf(
  policy: RolloutPolicy,
  hosts: readonly string[],
  orders: Partial<RolloutOrders> = {},
  more: Partial<RolloutFacts> = {},
): RolloutFacts {
  const windows = policy.rings.map(() => ({ isOpen: true, openMs: 0 }));
  return {
    policy,
    hosts: hosts.map(ringHost),
    windows,
    orders: { ...NO_ORDERS, ...orders },
    probes: [],
    authors: [],
    hasUnknownAuthor: false,
    hasOtherAdministrator: true,
    weaker: [],
    ...more,
  };
}
