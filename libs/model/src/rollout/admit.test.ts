import type { HostName, StorePath } from '../brands.ts';
import { describe, expect, test } from 'vitest';
import { policyOf } from '../test/rollout-facts.ts';
import { resolve, type HostSituation } from '../resolve.ts';
import { admit, mayBeginBy, type AdmitFacts, type Asking } from './admit.ts';
import { beginRollout, NO_ORDERS, type RolloutCourse } from './course.ts';

const policy = policyOf(2, [{ maxInFlight: 2 }], { maxInFlight: 3, budgets: [{ label: 'dns', atMost: 1 }] });
const rolling: RolloutCourse = { ...beginRollout(0), state: 'ROLLING' };
const facts: AdmitFacts = { policy, course: rolling, orders: NO_ORDERS, isWindowOpen: true, inFlight: { fleet: 0, ring: 0, byLabel: new Map() } };
const [host, toplevel] = ['ada' as HostName, '/nix/store/bad' as StorePath];
const asking: Asking = { host, toplevel, because: 'rollout', ring: 0, labels: [] };
const freeze = { by: 'ada', reason: 'holidays', at: 0, until: 10 };
const hotfix = { by: 'ada', role: 'administrator', reason: 'urgent', at: 0 } as const;

describe('a host that asks for its go', () => {
  test('gets it although the rollout is paused, when the pause is about its own failure: somebody had it try again', () => {
    const pause = { cause: 'failures', count: 1, failures: [{ host, toplevel, reason: 'no network' }] } as const;
    const paused: AdmitFacts = { ...facts, course: { ...rolling, state: 'PAUSED', pause } };
    const kept = { ...asking, because: 'kept' } as const;
    expect(admit(kept, paused, 0)).toEqual({ kind: 'go' });
    expect(admit({ ...kept, host: 'bob' as HostName }, paused, 0)).toEqual({ kind: 'wait', for: 'pause' });
    expect(admit({ ...kept, toplevel: '/nix/store/other' as StorePath }, paused, 0)).toEqual({ kind: 'wait', for: 'pause' });
    // Others are still to get that one, but this host has something newer by now.
    expect(admit({ ...kept, isSuperseded: true }, paused, 0)).toEqual({ kind: 'wait', for: 'pause' });
    // Its `go` was lost, say, and it is back: nobody had it try again.
    expect(admit({ ...kept, wasLost: true }, paused, 0)).toEqual({ kind: 'wait', for: 'pause' });
    expect(admit(kept, { ...paused, orders: { ...NO_ORDERS, freeze } }, 0)).toEqual({ kind: 'wait', for: 'freeze' });
    expect(admit(kept, { ...paused, inFlight: { ...paused.inFlight, fleet: 9 } }, 0)).toMatchObject({ for: 'in-flight' });
  });

  test('gets it in a ring that was reached, in a window', () => {
    expect(admit(asking, facts, 0)).toEqual({ kind: 'go' });
    expect(admit({ ...asking, ring: 1 }, facts, 0)).toEqual({ kind: 'wait', for: 'ring' });
    expect(admit(asking, { ...facts, course: { ...rolling, state: 'READY' } }, 0)).toEqual({ kind: 'wait', for: 'ring' });
    expect(admit(asking, { ...facts, isWindowOpen: false }, 0)).toEqual({ kind: 'wait', for: 'window' });
    expect(admit(asking, { ...facts, isWindowOpen: false, orders: { ...NO_ORDERS, hotfix } }, 0)).toEqual({ kind: 'go' });
  });

  test('goes back whatever ring and window say; limits and a freeze hold it', () => {
    const back = { ...asking, because: 'revert', ring: 9 } as const;
    const aborted: AdmitFacts = { ...facts, course: { ...rolling, state: 'ABORTED' }, isWindowOpen: false };
    expect(admit(back, aborted, 0)).toEqual({ kind: 'go' });
    expect(admit(back, { ...aborted, inFlight: { ...facts.inFlight, fleet: 3 } }, 0)).toMatchObject({ for: 'in-flight', of: 'fleet' });
    expect(admit({ ...back, labels: ['dns'] }, { ...aborted, inFlight: { ...facts.inFlight, byLabel: new Map([['dns', 1]]) } }, 0)).toMatchObject({
      of: { label: 'dns' },
    });
    expect(admit(back, { ...aborted, orders: { ...NO_ORDERS, freeze } }, 9)).toEqual({ kind: 'wait', for: 'freeze' });
  });

  test('passes over the window when a person asks for it at once, and over nothing else', () => {
    const urgent: Asking = { ...asking, isUrgent: true };
    expect(admit(urgent, { ...facts, isWindowOpen: false }, 0)).toEqual({ kind: 'go' });
    const states = ['WAITING_APPROVAL', 'READY', 'ROLLING', 'SOAKING', 'PAUSED', 'COMPLETE', 'ABORTED', 'SUPERSEDED'] as const;
    for (const because of ['rollout', 'kept', 'pin', 'hold', 'stable'] as const)
      for (const state of states)
        for (const ring of [0, 1])
          for (const orders of [NO_ORDERS, { ...NO_ORDERS, freeze }])
            for (const fleet of [0, 9]) {
              const open = { ...facts, course: { ...rolling, state }, orders, inFlight: { ...facts.inFlight, fleet } };
              const plain = admit({ ...asking, because, ring }, open, 0);
              expect(admit({ ...urgent, because, ring }, { ...open, isWindowOpen: false }, 0)).toEqual(plain);
            }
  });

  test('waits under a freeze until its end, except for a pin or stable', () => {
    const frozen = { ...facts, orders: { ...NO_ORDERS, freeze } };
    expect(admit(asking, frozen, 9)).toEqual({ kind: 'wait', for: 'freeze' });
    expect(admit(asking, frozen, 10)).toEqual({ kind: 'go' });
    expect(admit({ ...asking, because: 'pin' }, frozen, 9)).toEqual({ kind: 'go' });
  });

  test('waits while its label is stopped, whatever the fleet has for it', () => {
    for (const because of ['rollout', 'kept', 'stable', 'revert'] as const)
      expect(admit({ ...asking, because, isUrgent: true, isStopped: true }, facts, 0)).toEqual({ kind: 'wait', for: 'label-stop' });
    for (const because of ['pin', 'hold', 'trial'] as const) expect(admit({ ...asking, because, isStopped: true }, facts, 0)).toEqual({ kind: 'go' });
  });

  test('waits for its window with its stable release, too; a pin, a hold and the way back do not', () => {
    const shut = { ...facts, isWindowOpen: false };
    expect(admit({ ...asking, because: 'stable' }, shut, 0)).toEqual({ kind: 'wait', for: 'window' });
    expect(admit({ ...asking, because: 'stable' }, facts, 0)).toEqual({ kind: 'go' });
    for (const because of ['pin', 'hold', 'trial', 'revert'] as const) expect(admit({ ...asking, because }, shut, 0)).toEqual({ kind: 'go' });
  });

  test('gets nothing by a hold that its rollout would not bring it, but what is stable for it or in its profile', () => {
    const release = (sequence: number) => ({ id: `r${sequence}`, host, sequence, toplevel: `/nix/store/${sequence}` as StorePath });
    const [one, two, three] = [release(1), release(2), release(3)];
    const held = { pin: undefined, hold: two, stable: one, directed: two, rollout: two, isRingPromoted: true, quarantined: new Set<StorePath>() };
    const because = (situation: HostSituation, profile = one.toplevel) => {
      const desired = resolve(situation);
      return desired.kind === 'release' ? mayBeginBy(desired, situation, profile) : undefined;
    };
    expect(because(held)).toBe('rollout');
    // Paused, then superseded, then promoted past it.
    expect(because({ ...held, isRingPromoted: false })).toBe('kept');
    expect(because({ ...held, rollout: three, isRingPromoted: false })).toBe('kept');
    expect(because({ ...held, rollout: three })).toBe('kept');
    expect(because({ ...held, rollout: three, stable: two })).toBe('hold');
    expect(because({ ...held, rollout: three, stable: three }, two.toplevel)).toBe('hold');
    expect(because({ ...held, pin: two, isRingPromoted: false })).toBe('pin');
  });

  test('waits while it keeps what nobody promotes any more', () => {
    expect(admit({ ...asking, because: 'kept' }, { ...facts, course: { ...rolling, state: 'PAUSED' } }, 0)).toEqual({ kind: 'wait', for: 'pause' });
    expect(admit({ ...asking, because: 'kept' }, { ...facts, course: { ...rolling, state: 'SUPERSEDED' } }, 0)).toEqual({
      kind: 'wait',
      for: 'newer',
    });
  });

  test('waits above any limit: of the fleet, of its ring, of each of its labels, whatever its directive is from', () => {
    for (const because of ['rollout', 'pin', 'hold', 'stable'] as const) {
      const one = { ...asking, because, labels: ['web', 'dns'] };
      const wait = (inFlight: AdmitFacts['inFlight']) => admit(one, { ...facts, inFlight }, 0);
      expect(wait({ fleet: 3, ring: 0, byLabel: new Map() })).toEqual({ kind: 'wait', for: 'in-flight', limit: 3, of: 'fleet' });
      expect(wait({ fleet: 2, ring: 2, byLabel: new Map() })).toEqual({ kind: 'wait', for: 'in-flight', limit: 2, of: 'ring' });
      expect(wait({ fleet: 1, ring: 1, byLabel: new Map([['dns', 1]]) })).toMatchObject({ limit: 1, of: { label: 'dns' } });
      expect(wait({ fleet: 1, ring: 1, byLabel: new Map([['web', 1]]) })).toEqual({ kind: 'go' });
    }
  });
});
