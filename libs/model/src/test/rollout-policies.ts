import fc from 'fast-check';
import type { RingPolicy, RolloutPolicy } from '../rollout/policy.ts';
import { MINUTE, policyOf } from './rollout-facts.ts';

const anyRing: fc.Arbitrary<Partial<RingPolicy>> = fc.record(
  {
    successPercent: fc.constantFrom(0, 50, 80, 100),
    errors: fc.constantFrom({ percent: 0, minStarted: 1 }, { percent: 40, minStarted: 2 }),
    minVerified: fc.nat({ max: 3 }),
    soakMs: fc.constantFrom(0, 10 * MINUTE),
    deadlineMs: fc.constantFrom(undefined, 60 * MINUTE),
    maxInFlight: fc.constantFrom(undefined, 1, 2),
    approvals: fc.constantFrom(undefined, { count: 1, role: 'approver', notAuthor: true } as const),
    // Rare: a rollout that is complete in spite of them is rarer.
    probes: fc.oneof(
      { weight: 3, arbitrary: fc.constant([]) },
      {
        weight: 1,
        arbitrary: fc.subarray([
          { name: 'errors', everyMs: MINUTE },
          { name: 'latency', everyMs: 5 * MINUTE },
        ]),
      },
    ),
    pauseAfter: fc.boolean(),
  },
  { requiredKeys: [] },
);
/** Any gates, approvals and limits, but no windows. */
export const anyPolicy: fc.Arbitrary<RolloutPolicy> = fc
  .record({
    rings: fc.array(anyRing, { minLength: 1, maxLength: 3 }),
    maxInFlight: fc.constantFrom(undefined, 1, 3),
    budgets: fc.constantFrom([], [{ label: 'dns', atMost: 1 }]),
  })
  .map(({ rings, ...rest }) => policyOf(rings.length, rings, rest));
