import { beginRollout, isRingPromoted, resolve, type HostName, type RolloutCourse, type StorePath } from '@floe/model';
import type { FleetHost } from '@floe/store';
import { expect, test } from 'vitest';
import { engineOver, policyOfRings, rolloutAt } from '../test/rollouts.ts';

const NOW = 1_000_000;
const pathOf = (name: string): StorePath => `/nix/store/${'a'.repeat(32)}-${name}` as StorePath;
const POLICY = policyOfRings(['canary', 'all'], () => ({ soakMs: 0 }));
const [canary, second, other] = ['canary', 'second', 'other'] as readonly string[] as readonly [HostName, HostName, HostName];
const RINGS = new Map([
  [canary, 0],
  [second, 0],
  [other, 1],
]);

/** A host as it is read while the rollout is at `course`; it reported `state` about what the rollout has for it. */
function hostOf(host: HostName, course: RolloutCourse, state: 'IDLE' | 'SUCCEEDED' | 'ROLLED_BACK'): FleetHost {
  const release = (sequence: number) => ({ id: `${host} ${sequence}`, host, sequence, toplevel: pathOf(`${host}-${sequence}`) });
  const runs = pathOf(`${host}-${state === 'SUCCEEDED' ? 2 : 1}`);
  const observed = { current: runs, booted: runs, profile: { generation: 1, toplevel: runs } };
  const row = {
    host,
    repositoryId: 'fleet',
    publicKey: 'key',
    epoch: 1,
    reportSeq: 1,
    isConnected: true,
    observed,
    state,
    stateToplevel: pathOf(`${host}-2`),
  };
  const isPromoted = isRingPromotedIn(course, host);
  const situation = {
    pin: undefined,
    hold: undefined,
    isRingPromoted: isPromoted,
    rollout: release(2),
    stable: release(1),
    directed: release(1),
    quarantined: new Set(),
  };
  return { row, situation, desired: resolve(situation as FleetHost['situation']), quarantines: [], acknowledged: new Set() } as unknown as FleetHost;
}

function isRingPromotedIn(course: RolloutCourse, host: HostName): boolean {
  return isRingPromoted(course, RINGS.get(host) ?? 0);
}

/** What the hosts are to have after a decision, with which the server came late or not. */
async function told(course: RolloutCourse, states: Readonly<Record<string, 'IDLE' | 'SUCCEEDED' | 'ROLLED_BACK'>>, isSaved: boolean) {
  const engine = engineOver({ now: NOW, save: () => isSaved });
  const hosts = [canary, second, other].map((host) => hostOf(host, course, states[host] ?? 'IDLE'));
  const { fleet, isMoved } = await engine.tick({ rollout: rolloutAt(course, POLICY, { rings: RINGS }), hosts });
  const because = fleet.hosts.map(({ row, desired }) => `${row.host} ${desired.kind === 'release' ? desired.because : desired.kind}`);
  return { state: `${fleet.rollout?.state} ${fleet.rollout?.course.ring}`, isMoved, because };
}

const rolling: RolloutCourse = { ...beginRollout(1), state: 'ROLLING' };

test('of two servers that decide at once the one that comes late tells nobody what it decided, and nobody what that holds back', async () => {
  // The next ring.
  const passed = { canary: 'SUCCEEDED', second: 'SUCCEEDED' } as const;
  expect(await told(rolling, passed, true)).toMatchObject({
    state: 'ROLLING 1',
    isMoved: true,
    because: ['canary rollout', 'second rollout', 'other rollout'],
  });
  expect(await told(rolling, passed, false)).toMatchObject({
    state: 'ROLLING 0',
    isMoved: false,
    because: ['canary rollout', 'second rollout', 'other stable'],
  });
  // A pause: the other server may have decided the same, so nobody begins with it meanwhile.
  const failed = { canary: 'ROLLED_BACK' } as const;
  expect(await told(rolling, failed, true)).toMatchObject({ state: 'PAUSED 0', because: ['canary stable', 'second stable', 'other stable'] });
  expect(await told(rolling, failed, false)).toMatchObject({
    state: 'ROLLING 0',
    isMoved: false,
    because: ['canary stable', 'second stable', 'other stable'],
  });
});
