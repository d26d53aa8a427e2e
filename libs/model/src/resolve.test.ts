import { describe, expect, test } from 'vitest';
import type { CommitSha, HostName, StorePath } from './brands.ts';
import fc from 'fast-check';
import { pendingStone } from './stepping-stone.ts';
import { resolve, type HostSituation, type OrderedQuarantine, type PermittedRelease, type ReleaseRef } from './resolve.ts';

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
  test('is a trial before all else, also one of a lower sequence, and leaves what the host was told', () => {
    const tried = { ...release('tried'), sequence: 0 };
    const trial = { ...tried, endsAt: 5 };
    const told = { ...situation, pin: release('pinned'), directed: { ...release('new'), sequence: 9 } };
    expect(resolve({ ...told, trial })).toEqual({ kind: 'release', release: tried, because: 'trial' });
    expect(resolve(told)).toMatchObject({ because: 'kept', release: { sequence: 9 } });
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

describe('a stepping stone that the host has not run', () => {
  const at = (sequence: number): ReleaseRef => ({ ...release(`r${sequence}`), sequence });
  const stone = { ...at(3), name: 'agent-2' };
  const back: HostSituation = { ...situation, rollout: at(6), stable: at(5), stone, directed: at(2) };

  test('comes before all that is newer of the fleet, and before nothing else', () => {
    const told = { kind: 'release', release: at(3), because: 'stable' };
    expect(resolve(back)).toEqual(told);
    expect(resolve({ ...back, isRingPromoted: false })).toEqual(told);
    expect(resolve({ ...back, rollout: undefined, stable: at(3) })).toEqual(told);
    expect(resolve({ ...back, rollout: { ...at(6), toplevel: stone.toplevel } })).toMatchObject({ release: { sequence: 6 }, because: 'rollout' });
    expect(resolve({ ...back, stable: at(2), rollout: undefined })).toMatchObject({ release: at(2), because: 'stable' });
    expect(resolve({ ...back, pin: at(6) })).toMatchObject({ release: at(6), because: 'pin' });
    expect(resolve({ ...back, hold: at(4) })).toMatchObject({ release: at(4), because: 'hold' });
    expect(resolve({ ...back, trial: { ...at(9), endsAt: 1 } })).toMatchObject({ release: at(9), because: 'trial' });
  });

  test('that it rolled back is not desired, and neither is what comes after it', () => {
    expect(resolve({ ...back, quarantined: new Set([stone.toplevel]) })).toEqual({ kind: 'quarantined', release: at(3) });
  });

  test('is the first one that it has not passed: it runs it, or was told or took something newer', () => {
    const stones = [7, 3, 5].map((sequence) => ({ ...at(sequence), name: `s${sequence}` }));
    const next = (floor: number, runs = 0) => pendingStone(stones, { floor, hasArrived: (toplevel) => toplevel === at(runs).toplevel })?.name;
    expect([0, 3, 4, 5, 6, 7, 8].map((floor) => next(floor))).toEqual(['s3', 's3', 's5', 's5', 's7', 's7', undefined]);
    expect([3, 5, 7].map((runs) => next(2, runs))).toEqual(['s5', 's7', undefined]);
  });
});

function ordersOf(releases: readonly ReleaseRef[]): ReadonlyMap<StorePath, OrderedQuarantine> {
  const order = { commit: 'c'.repeat(40) as CommitSha, sequence: 1, by: 'ada', reason: 'hangs', at: 0, isOfAll: false };
  return new Map(releases.map(({ toplevel }) => [toplevel, order]));
}

describe('a system that a person quarantined on the host', () => {
  const out = (...releases: readonly ReleaseRef[]): HostSituation => ({ ...situation, ordered: ordersOf(releases) });

  test('is not desired: the host keeps what it was told, and one that was told nothing gets its stable release', () => {
    expect(resolve({ ...out(release('new')), directed: release('old') })).toMatchObject({ release: release('old'), because: 'kept' });
    expect(resolve(out(release('new')))).toMatchObject({ release: release('old'), because: 'stable' });
    expect(resolve({ ...out(release('new')), pin: release('new'), directed: release('old') })).toMatchObject({ because: 'kept' });
    expect(resolve({ ...out(release('tried')), trial: { ...release('tried'), endsAt: 5 } })).toMatchObject({ because: 'rollout' });
  });

  test('that it was told already is not told again, and what comes next is', () => {
    expect(resolve({ ...out(release('new')), directed: release('new') })).toMatchObject({ kind: 'quarantined', order: { by: 'ada' } });
    const next = { ...release('next'), sequence: 2 };
    expect(resolve({ ...out(release('new')), directed: release('new'), rollout: next })).toMatchObject({ release: next, because: 'rollout' });
  });
});

describe('a host with a label that a person stopped', () => {
  const stopped: HostSituation = { ...situation, stops: [{ label: 'role=dns', by: 'ada', reason: 'moved', at: 0, until: undefined }] };

  test('keeps what it was told, or is told nothing, unless a pin or a trial is for it alone', () => {
    expect(resolve(stopped)).toEqual({ kind: 'nothing' });
    expect(resolve({ ...stopped, directed: release('old') })).toMatchObject({ release: release('old'), because: 'kept' });
    expect(resolve({ ...stopped, directed: release('new') })).toMatchObject({ release: release('new'), because: 'kept' });
    expect(resolve({ ...stopped, pin: release('new') })).toMatchObject({ release: release('new'), because: 'pin' });
    expect(resolve({ ...stopped, trial: { ...release('tried'), endsAt: 5 } })).toMatchObject({ because: 'trial' });
  });
});

describe('below what the host was told', () => {
  const at = (sequence: number): ReleaseRef => ({ ...release(`r${sequence}`), sequence });
  const revert = { by: 'ada', reason: 'it broke the printers' };
  /** Its ring ran 5, whose rollout is aborted; 3 is stable. */
  const aborted: HostSituation = { ...situation, isRingPromoted: false, rollout: at(5), stable: at(3), directed: at(5), floor: 5, revert };
  const back: PermittedRelease = { ...at(3), permit: { ...revert, kind: 'revert' } };

  test('it goes only to stable, when the rollout that told it was aborted with that order', () => {
    expect(resolve(aborted)).toEqual({ kind: 'release', release: at(3), because: 'revert', permit: back.permit });
    expect(resolve({ ...aborted, revert: undefined })).toEqual({ kind: 'release', release: at(5), because: 'kept' });
    expect(resolve({ ...aborted, stable: undefined })).toMatchObject({ release: at(5), because: 'kept' });
    // It was proved there before, or something newer was: that is no way back, which no window holds.
    for (const stable of [at(5), at(6)]) expect(resolve({ ...aborted, stable })).toEqual({ kind: 'release', release: stable, because: 'stable' });
    // Another rollout told it: that one is not what was aborted.
    expect(resolve({ ...aborted, directed: at(4), floor: 4 })).toMatchObject({ release: at(4), because: 'kept' });
    expect(resolve({ ...aborted, pin: at(5) })).toMatchObject({ release: at(5), because: 'pin' });
    expect(resolve({ ...aborted, quarantined: new Set([at(3).toplevel]) })).toEqual({ kind: 'quarantined', release: at(3) });
  });

  test('on its way back it stays on that way, until something newer is its turn', () => {
    const reverting = { ...aborted, directed: back };
    expect(resolve(reverting)).toMatchObject({ release: at(3), because: 'revert', permit: back.permit });
    const next = { ...reverting, revert: undefined, rollout: at(6) };
    expect(resolve(next)).toMatchObject({ release: at(3), because: 'revert', permit: back.permit });
    expect(resolve({ ...next, stable: undefined })).toMatchObject({ release: at(3), because: 'revert' });
    expect(resolve({ ...next, isRingPromoted: true })).toEqual({ kind: 'release', release: at(6), because: 'rollout' });
  });

  test('a pin that an administrator made brings it there, and its end does not bring it anywhere else', () => {
    const pin: PermittedRelease = { ...at(2), permit: { ...revert, kind: 'pin' } };
    const told = { ...aborted, revert: undefined };
    expect(resolve({ ...told, pin: at(2) })).toMatchObject({ release: at(5), because: 'kept' });
    expect(resolve({ ...told, pin })).toEqual({ kind: 'release', release: at(2), because: 'pin', permit: pin.permit });
    const unpinned = { ...told, directed: pin };
    // Stable is above it, and still below what it was told once.
    expect(resolve(unpinned)).toEqual({ kind: 'release', release: at(2), because: 'kept', permit: pin.permit });
    expect(resolve({ ...unpinned, hold: at(2) })).toMatchObject({ release: at(2), because: 'hold', permit: pin.permit });
    expect(resolve({ ...unpinned, isRingPromoted: true })).toEqual({ kind: 'release', release: at(5), because: 'rollout' });
    expect(resolve({ ...unpinned, isRingPromoted: true, rollout: at(4) })).toMatchObject({ release: at(2), because: 'kept' });
  });

  test('what a database that is gone told it stays, also where this one knows only older releases', () => {
    const restored: HostSituation = { ...aborted, revert: undefined, directed: undefined };
    expect(resolve(restored)).toEqual({ kind: 'nothing' });
    expect(resolve({ ...restored, directed: at(3) })).toEqual({ kind: 'nothing' });
    expect(resolve({ ...restored, directed: at(2), pin: at(4) })).toEqual({ kind: 'nothing' });
    expect(resolve({ ...restored, isRingPromoted: true, rollout: at(6) })).toMatchObject({ release: at(6), because: 'rollout' });
  });

  test('whatever happens, nothing below the highest sequence is answered but with a permit', () => {
    const releases = fc.option(fc.integer({ min: 1, max: 6 }).map(at), { nil: undefined });
    const grounds = fc.constantFrom({ ...revert, kind: 'revert' as const }, { ...revert, kind: 'pin' as const }, undefined);
    const permitted = fc.tuple(releases, grounds).map(([some, permit]): PermittedRelease | undefined => some && { ...some, permit });
    const situations = fc.record({
      pin: permitted,
      hold: releases,
      isRingPromoted: fc.boolean(),
      rollout: releases,
      stable: releases,
      revert: fc.constantFrom(revert, undefined),
      directed: permitted,
      floor: fc.nat(6),
      quarantined: fc.constant(new Set<StorePath>()),
      ordered: fc.subarray([1, 2, 3, 4, 5, 6]).map((some) => ordersOf(some.map(at))),
    });
    fc.assert(
      fc.property(situations, (some) => {
        const desired = resolve(some);
        // What a person quarantined is not answered, whatever asks for it.
        if (desired.kind !== 'nothing') expect(desired.kind === 'release').toBe(!some.ordered.has(desired.release.toplevel));
        if (desired.kind !== 'release') return;
        const { sequence, id } = desired.release;
        const isBelow = sequence < Math.max(some.floor, some.directed?.sequence ?? 0);
        expect(isBelow).toBe(desired.permit !== undefined);
        if (some.directed === undefined) return;
        const isByPin = some.pin?.id === id && some.pin.permit !== undefined;
        const isByRevert = some.revert !== undefined && some.stable?.id === id && some.directed.id === some.rollout?.id;
        if (isBelow && id !== some.directed.id) expect([desired.permit === undefined, isByPin || isByRevert]).toEqual([false, true]);
        // Told so, it is answered the same again.
        const told = { ...desired.release, permit: desired.permit };
        const again = resolve({ ...some, directed: told, floor: Math.max(some.floor, some.directed.sequence) });
        expect(again).toMatchObject({ kind: 'release', release: desired.release });
        expect(again.kind === 'release' && again.permit?.kind).toBe(desired.permit?.kind);
      }),
    );
  });
});
