import type { Word } from './course.ts';
import { GATE_WORDS, type RingGate } from './gate-words.ts';
import type { RingPolicy, RolloutPolicy } from './policy.ts';
import { weakerGates } from './weaker.ts';

/** What every policy must have at least, by the server's settings. */
export interface PolicyFloor {
  /** At least so many rings. */
  readonly rings: number;
  /** The first ring's gates; those that the settings do not name ask for nothing. */
  readonly firstRing: RingPolicy;
  /** At most so many hosts of the fleet at the same time; undefined: any number. */
  readonly maxInFlight: number | undefined;
  /** Checks that every policy names. */
  readonly checks: readonly string[];
}

/** Gates that ask for nothing. */
export const OPEN_RING: RingPolicy = {
  name: 'floor',
  members: { hosts: [], labels: [], share: undefined },
  successPercent: 0,
  errors: { percent: 100, minStarted: 1 },
  minVerified: 0,
  soakMs: 0,
  deadlineMs: undefined,
  maxInFlight: undefined,
  windows: [],
  probes: [],
  approvals: undefined,
  pauseAfter: false,
};

/** How a gate is called in the policy. */
const KEYS: Readonly<Record<RingGate, string>> = {
  successPercent: 'success',
  errors: 'errors',
  minVerified: 'minVerified',
  soakMs: 'soak',
  deadlineMs: 'deadline',
  maxInFlight: 'maxInFlight',
  windows: 'windows',
  probes: 'probes',
  approvals: 'approvals',
  pauseAfter: 'pauseAfter',
};

/** Where a policy is below the floor: path, value and floor, a sentence each; none: it keeps it. */
export function belowFloor(floor: PolicyFloor, { rings, maxInFlight, checks }: RolloutPolicy): readonly string[] {
  const first = rings[0] ?? OPEN_RING;
  const missing = floor.checks.filter((check) => !checks.includes(check));
  return [
    ...(rings.length < floor.rings ? [`rings: ${ringCount(rings.length)}; the floor is ${ringCount(floor.rings)}`] : []),
    ...weakerGates(floor.firstRing, first).map(
      (gate) => `rings[0].${KEYS[gate]}: ${GATE_WORDS[gate](first)}; the floor is ${GATE_WORDS[gate](floor.firstRing)}`,
    ),
    ...((maxInFlight ?? Infinity) > (floor.maxInFlight ?? Infinity)
      ? [`maxInFlight: ${maxInFlight ?? 'no limit'}; the floor is at most ${floor.maxInFlight}`]
      : []),
    ...missing.map((check) => `checks: "${check}" is not among them; the floor names it`),
  ];
}

/** Of a commit that passes below the floor, by the word of these. */
export function glassWords(glass: readonly Pick<Word, 'by' | 'reason'>[], below: readonly string[]): string {
  const who = glass.map(({ by, reason }) => `${by} (${reason})`).join(' and ');
  return `the policy is below the floor of the server's settings, and passes by the word of ${who}: ${below.join(', ')}`;
}

function ringCount(count: number): string {
  return count === 1 ? '1 ring' : `${count} rings`;
}
