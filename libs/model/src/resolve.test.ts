import { describe, expect, test } from 'vitest';
import type { HostName, StorePath } from './brands.ts';
import { resolve, type HostSituation, type ReleaseRef } from './resolve.ts';

function release(id: string): ReleaseRef {
  return { id, host: 'ada' as HostName, sequence: 1, toplevel: `/nix/store/${id}` as StorePath };
}

const situation: HostSituation = {
  pin: undefined,
  hold: undefined,
  isRingPromoted: true,
  directed: undefined,
  rollout: release('new'),
  stable: release('old'),
  quarantined: new Set(),
};

describe('the desired state of a host', () => {
  test('is the release of the rollout once its ring is promoted', () => {
    expect(resolve(situation)).toEqual({ kind: 'release', release: release('new'), because: 'rollout' });
  });
  test('is stable until then', () => {
    expect(resolve({ ...situation, isRingPromoted: false })).toMatchObject({ release: release('old'), because: 'stable' });
  });
  test('is stable when the rollout has nothing for the host', () => {
    expect(resolve({ ...situation, rollout: undefined })).toMatchObject({ release: release('old'), because: 'stable' });
  });
  test('a pin wins over a hold, and a hold over the rollout', () => {
    expect(resolve({ ...situation, hold: release('held') })).toMatchObject({ release: release('held'), because: 'hold' });
    expect(resolve({ ...situation, pin: release('pinned'), hold: release('held') })).toMatchObject({ because: 'pin' });
  });
  test('is quarantined for a toplevel that the host rolled back', () => {
    expect(resolve({ ...situation, quarantined: new Set([release('new').toplevel]) })).toEqual({ kind: 'quarantined', release: release('new') });
  });
  test('is nothing before the first release', () => {
    expect(resolve({ ...situation, rollout: undefined, stable: undefined })).toEqual({ kind: 'nothing' });
  });

  test('nothing falls back by itself: what it was told last stays, until something newer comes', () => {
    const newer: ReleaseRef = { ...release('new'), sequence: 9 };
    const told = { ...situation, directed: newer, rollout: undefined };
    expect(resolve({ ...told, isRingPromoted: false })).toEqual({ kind: 'release', release: newer, because: 'kept' });
    expect(resolve({ ...told, pin: release('old') })).toMatchObject({ release: newer, because: 'kept' });
    expect(resolve({ ...told, stable: undefined })).toMatchObject({ release: newer, because: 'kept' });
    expect(resolve({ ...told, stable: { ...release('old'), sequence: 9 } })).toMatchObject({ because: 'stable' });
    expect(resolve({ ...told, quarantined: new Set([newer.toplevel]) })).toEqual({ kind: 'quarantined', release: newer });
  });
});
