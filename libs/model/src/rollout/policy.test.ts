import { expect, test } from 'vitest';
import { DEFAULT_DEADLINE_MS, DEFAULT_MAX_IN_FLIGHT, DEFAULT_POLICY, DEFAULT_PRESENCE, defaultGates } from './policy.ts';

// The numbers that docs/policy.md tells people, written out once more.

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
const later = { successPercent: 80, errors: { percent: 10, minStarted: 3 }, minVerified: 1, soakMs: 10 * MINUTE, deadlineMs: DAY };

test('the gates of several rings: any failure pauses the first one, and more than a tenth of at least three a later one', () => {
  const [first, second, third] = [0, 1, 2].map((index) => defaultGates(index, 3));
  expect(first).toEqual({ ...later, errors: { percent: 0, minStarted: 1 }, soakMs: 30 * MINUTE });
  expect([second, third]).toEqual([later, later]);
});

test('one ring waits for nothing, and completes when somebody runs it', () => {
  expect(defaultGates(0, 1)).toEqual({
    successPercent: 0,
    errors: { percent: 100, minStarted: 1 },
    minVerified: 1,
    soakMs: 0,
    deadlineMs: undefined,
  });
  expect(DEFAULT_POLICY.rings).toMatchObject([{ ...defaultGates(0, 1), windows: [], probes: [], pauseAfter: false }]);
});

test('limits and times', () => {
  expect([DEFAULT_MAX_IN_FLIGHT, DEFAULT_DEADLINE_MS]).toEqual([10, DAY]);
  expect(DEFAULT_PRESENCE).toEqual({ staleMs: 7 * DAY, lostMs: 30 * DAY });
});
