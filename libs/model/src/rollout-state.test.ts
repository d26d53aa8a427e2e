import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AGENT_STATES } from './agent/state.ts';
import type { StorePath } from './brands.ts';
import { EVALUATION_OUTCOMES } from './evaluation.ts';
import { NOTHING_OBSERVED } from './observed.ts';
import { countRollout, isLocalOverride, isSettled, standingOf, type RolloutHost } from './rollout-state.ts';

const wanted = '/nix/store/wanted' as StorePath;
const other = '/nix/store/other' as StorePath;
const onIt = { current: wanted, booted: other, profile: { generation: 2, toplevel: wanted } };

const host: RolloutHost = {
  toplevel: wanted,
  outcome: 'CHANGED',
  isEnrolled: true,
  isConnected: true,
  observed: NOTHING_OBSERVED,
  state: 'IDLE',
  subject: undefined,
  isQuarantined: false,
  isOverridden: false,
  isToRetry: false,
};

describe('where a host stands in a rollout', () => {
  test('is on it only when it runs the toplevel and starts it next time', () => {
    expect(standingOf({ ...host, observed: onIt })).toBe('onIt');
    expect(standingOf({ ...host, observed: { ...onIt, profile: { generation: 1, toplevel: other } } })).toBe('underWay');
    expect(standingOf({ ...host, observed: { ...onIt, current: other } })).toBe('underWay');
  });
  test('a report of success is nothing without the observation', () => {
    expect(standingOf({ ...host, state: 'SUCCEEDED', subject: wanted })).toBe('underWay');
  });
  test('is away when it is not here, and still on it when it was seen on it', () => {
    expect(standingOf({ ...host, isConnected: false })).toBe('away');
    expect(standingOf({ ...host, isConnected: false, observed: onIt })).toBe('onIt');
  });
  test('rolled back counts for this toplevel only', () => {
    expect(standingOf({ ...host, state: 'ROLLED_BACK', subject: wanted })).toBe('rolledBack');
    expect(standingOf({ ...host, state: 'ROLLED_BACK', subject: other })).toBe('underWay');
  });
  test('failed when it refuses it, also when it could not even read what it was told (an expired directive, an unknown key)', () => {
    expect(standingOf({ ...host, state: 'REJECTED', subject: wanted })).toBe('failed');
    expect(standingOf({ ...host, state: 'REJECTED', subject: undefined })).toBe('failed');
    expect(standingOf({ ...host, state: 'REJECTED', subject: other })).toBe('underWay');
  });
  test('is under way, whatever it runs, until the verdict about it is passed (O2)', () => {
    expect(standingOf({ ...host, observed: onIt, state: 'BOOT_VERIFYING', subject: wanted })).toBe('underWay');
    expect(standingOf({ ...host, observed: onIt, state: 'BOOT_VERIFYING', subject: wanted, isConnected: false })).toBe('away');
    expect(standingOf({ ...host, observed: onIt, state: 'VERIFYING', subject: other })).toBe('onIt');
  });
  test.each(['DEFERRED', 'BOOT_STAGED'] as const)('waits while it is %s, as long as it is here and that is about this toplevel (O3)', (state) => {
    expect(standingOf({ ...host, state, subject: wanted })).toBe('waiting');
    expect(standingOf({ ...host, state, subject: other })).toBe('underWay');
    expect(standingOf({ ...host, state, subject: wanted, isConnected: false })).toBe('away');
  });
  test('waits when its user keeps another system, here or not, and whatever was wanted then', () => {
    expect(standingOf({ ...host, isOverridden: true, subject: other })).toBe('waiting');
    expect(standingOf({ ...host, isOverridden: true, isConnected: false })).toBe('waiting');
    expect(standingOf({ ...host, isOverridden: true, observed: onIt })).toBe('onIt');
    expect(isLocalOverride('IDLE', { code: 'LOCAL_OVERRIDE' })).toBe(true);
    expect(isLocalOverride('IDLE', { code: 'HELD' })).toBe(false);
    expect(isLocalOverride('OFFERED', { code: 'LOCAL_OVERRIDE' })).toBe(false);
  });
  test('is under way, or away, from the moment that an administrator has it try again', () => {
    for (const before of [
      { isQuarantined: true },
      { isOverridden: true },
      { state: 'ROLLED_BACK', subject: wanted },
      { state: 'REJECTED', subject: wanted },
    ] as const) {
      expect(standingOf({ ...host, ...before, isToRetry: true })).toBe('underWay');
      expect(standingOf({ ...host, ...before, isToRetry: true, isConnected: false })).toBe('away');
    }
  });
  test('is behind when the revision has nothing for it', () => {
    expect(standingOf({ ...host, outcome: 'EVAL_ERROR', toplevel: undefined })).toBe('behind');
  });
});

const anyHost: fc.Arbitrary<RolloutHost> = fc.record({
  toplevel: fc.constantFrom(wanted, undefined),
  outcome: fc.constantFrom(...EVALUATION_OUTCOMES),
  isEnrolled: fc.boolean(),
  isConnected: fc.boolean(),
  observed: fc.constantFrom(NOTHING_OBSERVED, onIt),
  state: fc.constantFrom(...AGENT_STATES),
  subject: fc.constantFrom(wanted, other, undefined),
  isQuarantined: fc.boolean(),
  isOverridden: fc.boolean(),
  isToRetry: fc.boolean(),
});

describe('the counts of a rollout', () => {
  test('every host is counted once (O1)', () => {
    fc.assert(
      fc.property(fc.array(anyHost), (hosts) => {
        const { total, ...standings } = countRollout(hosts);
        expect(Object.values(standings).reduce((sum, count) => sum + count, 0)).toBe(total);
        expect(total).toBe(hosts.filter((each) => each.outcome !== 'REMOVED').length);
      }),
    );
  });
  test('hosts that wait settle with the rest, and are counted anew when they go on (O3, O5)', () => {
    const waiting = { ...host, state: 'BOOT_STAGED', subject: wanted } as const;
    expect(isSettled(countRollout([waiting, { ...host, isOverridden: true }]))).toBe(true);
    expect(isSettled(countRollout([{ ...waiting, state: 'BOOT_VERIFYING' }]))).toBe(false);
    expect(countRollout([waiting, { ...host, observed: onIt }])).toMatchObject({ total: 2, onIt: 1, waiting: 1, underWay: 0 });
  });
  test('hosts that are away settle with the rest (O3)', () => {
    expect(
      isSettled(
        countRollout([
          { ...host, isConnected: false },
          { ...host, observed: onIt },
        ]),
      ),
    ).toBe(true);
    expect(isSettled(countRollout([host]))).toBe(false);
  });
});
