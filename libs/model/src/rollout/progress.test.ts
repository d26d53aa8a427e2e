import { describe, expect, test } from 'vitest';
import { AGENT_STATES, isActivating } from '../agent/state.ts';
import { pathOf } from '../test/rollout-facts.ts';
import { isLost, progressOf, stateAfterTrial, VERDICT_MS, VERDICTS, wentAfter, wentAgain, type ProgressFacts } from './progress.ts';

const T = pathOf('new');
const OLD = pathOf('old');
const on = (toplevel: typeof T) => ({ current: toplevel, booted: OLD, profile: { generation: 1, toplevel } });
const base: ProgressFacts = {
  observed: on(OLD),
  state: 'STAGED',
  subject: T,
  isOverridden: false,
  isRetryPending: false,
  isConnected: true,
  toplevel: T,
  isQuarantined: false,
  went: undefined,
};
const at = (facts: Partial<ProgressFacts>, now = 0) => progressOf({ ...base, ...facts }, now);

describe('how far a host is', () => {
  test('is verified when it runs and boots the system and has no verdict outstanding', () => {
    expect(at({ observed: on(T), state: 'SUCCEEDED' })).toBe('verified');
    expect(at({ observed: on(T), state: 'VERIFYING' })).toBe('in-flight');
    expect(at({ observed: { ...on(OLD), current: T }, state: 'BLOCKED' })).toBe('failed');
  });

  test('is failed when it rolled back, refused it or cannot go on, until a retry', () => {
    for (const state of ['ROLLED_BACK', 'ROLLBACK_FAILED', 'BLOCKED', 'REJECTED'] as const) {
      expect(at({ state })).toBe('failed');
      expect(at({ state, isRetryPending: true })).toBe('to-come');
      // Of another system it says nothing about this one.
      expect(at({ state, subject: OLD })).toBe('to-come');
    }
    expect(at({ isQuarantined: true, subject: OLD, isConnected: false })).toBe('failed');
  });

  test('that it refused a trial says nothing about the same system, in whatever order that is told', () => {
    const trial = { toplevel: T, epoch: 3, isOpen: true };
    const refused = { state: 'REJECTED', subject: T, epoch: 3 } as const;
    expect(stateAfterTrial(refused, { trial, epoch: 3 })).toBe('IDLE');
    // It was ended meanwhile, and the agent has not heard of what the fleet has.
    expect(stateAfterTrial(refused, { trial: { ...trial, isOpen: false }, epoch: 4 })).toBe('IDLE');
    expect(stateAfterTrial({ ...refused, epoch: 4 }, { trial: { ...trial, isOpen: false }, epoch: 4 })).toBe('REJECTED');
    expect(stateAfterTrial({ ...refused, subject: OLD }, { trial, epoch: 3 })).toBe('REJECTED');
    expect(stateAfterTrial(refused, { trial: undefined, epoch: 3 })).toBe('REJECTED');
  });

  test('a host that was away before its go counts in no gate; one that was lost after it has failed', () => {
    expect(at({ isConnected: false })).toBe('away');
    const went = { toplevel: T, until: 100 };
    for (const state of AGENT_STATES.filter((each) => each === 'STAGED' || isActivating(each))) {
      expect(at({ isConnected: false, went, state }, 100)).toBe('in-flight');
      expect(at({ isConnected: false, went, state }, 101)).toBe('failed');
    }
    expect(at({ isConnected: false, went: { toplevel: OLD, until: 1 } }, 101)).toBe('away');
  });

  test('a host that restarts into a system long after its go has its time from the start of the machine on', () => {
    const went = { toplevel: T, until: 100 };
    const started = { state: 'BOOT_VERIFYING', since: 5_000, went } as const;
    for (const isConnected of [true, false]) {
      expect(at({ ...started, isConnected }, 5_000 + VERDICT_MS)).toBe('in-flight');
      expect(at({ ...started, isConnected }, 5_001 + VERDICT_MS)).toBe('failed');
      // While it waits it is not lost, however long that takes and whatever it is asked about.
      for (const state of ['BOOT_STAGED', 'DEFERRED'] as const) expect(isLost({ ...base, state, isConnected, went }, 101)).toBe(false);
    }
  });

  test('a host that is back after its go and did nothing is waited for again', () => {
    expect(at({ state: 'DOWNLOADING', went: { toplevel: T, until: 100 } }, 99)).toBe('in-flight');
    expect(at({ state: 'DOWNLOADING', went: { toplevel: T, until: 100 } }, 101)).toBe('to-come');
  });

  test('nobody waits for a host whose user, policy or restart decides, that drifted, or that refuses what it cannot read', () => {
    expect(at({ state: 'DEFERRED' })).toBe('waiting');
    expect(at({ state: 'BOOT_STAGED', isConnected: false })).toBe('waiting');
    expect(at({ state: 'SUCCEEDED' })).toBe('waiting');
    expect(at({ state: 'REJECTED', subject: undefined })).toBe('waiting');
  });
});

test('asking again takes no new time while a place lasts; a host that was made to wait for longer gets a new one', () => {
  const go = { toplevel: T, epoch: 3 };
  const went = { ...go, until: 100 };
  expect(wentAgain(undefined, go, 0, 100)).toEqual(went);
  expect(wentAgain(went, { ...go, epoch: 4 }, 100, 100)).toEqual({ ...went, epoch: 4 });
  expect(wentAgain(went, go, 101, 100)).toEqual({ ...go, until: 201 });
  expect(wentAgain(went, { ...go, toplevel: OLD }, 50, 100)).toEqual({ ...go, toplevel: OLD, until: 150 });
});

test('a place ends with a verdict about its system, or when the agent has begun with a later directive', () => {
  const went = { toplevel: T, until: 100, epoch: 3 };
  for (const state of AGENT_STATES) {
    const isVerdict = (VERDICTS as readonly string[]).includes(state);
    expect(wentAfter(went, { state, subject: T, epoch: 3 })).toBe(isVerdict ? undefined : went);
    // What it refuses meanwhile, or says of what it ran before, is no end of the change.
    expect(wentAfter(went, { state, subject: OLD, epoch: 4 })).toBe(state === 'OFFERED' ? undefined : went);
  }
  expect(wentAfter(went, { state: 'OFFERED', subject: T, epoch: 3 })).toBe(went);
  expect(wentAfter({ ...went, epoch: undefined }, { state: 'OFFERED', subject: OLD, epoch: 4 })).toBeDefined();
});
