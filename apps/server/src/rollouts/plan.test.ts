import {
  beginRollout,
  DEFAULT_POLICY,
  defaultGates,
  NOTHING_OBSERVED,
  type HostName,
  type LabelStop,
  type RingPolicy,
  type RingWindow,
  type StorePath,
} from '@floe/model';
import type { Fleet, FleetHost } from '@floe/store';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { rolloutAt } from '../test/rollouts.ts';
import { viewPlan } from './plan.ts';

const [only] = DEFAULT_POLICY.rings;
if (only === undefined) throw new Error('the default policy has a ring');
const ringOf = (index: number, more: Partial<RingPolicy>): RingPolicy => ({ ...only, ...defaultGates(index, 2), name: `ring-${index}`, ...more });

function hostOf(name: string, isConnected: boolean, timeZone?: string): FleetHost {
  const host = name as HostName;
  const toplevel = `/nix/store/${'a'.repeat(32)}-${name}` as StorePath;
  const row = { host, repositoryId: 'fleet', publicKey: 'key', epoch: 1, observed: NOTHING_OBSERVED, isConnected, acceptedSequence: 3, reportSeq: 1 };
  const situation = { isRingPromoted: false, rollout: { id: 'r', host, sequence: 3, toplevel }, quarantined: new Set() };
  return { row, timeZone, situation, desired: { kind: 'nothing' }, quarantines: [], acknowledged: new Set() } as unknown as FleetHost;
}

/** Two hosts in the first ring, of which one is away, and one in a ring with windows. */
function fleetWith(windows: readonly RingWindow[], now: number): Fleet {
  const rings = [ringOf(0, { soakMs: 60_000 }), ringOf(1, { windows })];
  const names: readonly (readonly [string, number])[] = [
    ['ada', 0],
    ['bob', 0],
    ['eve', 1],
  ];
  const ofHosts = new Map(names.map(([name, ring]) => [name as HostName, ring]));
  const rollout = rolloutAt(beginRollout(now), { ...DEFAULT_POLICY, rings }, { startedAt: now, rings: ofHosts });
  return { rollout, hosts: names.map(([name]) => hostOf(name, name !== 'bob')) };
}

const NIGHT: RingWindow = { kind: 'allow', cron: '0 22 * * *', durationMs: 4 * 3_600_000, timeZone: 'Europe/Berlin' };
const berlin = new Intl.DateTimeFormat('en-GB', { timeZone: 'Europe/Berlin', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });

test('it names who is connected, and when a ring with a window begins, also across changes of the clock', () => {
  // The days around both changes of the clock.
  const days = fc.constantFrom(Date.UTC(2026, 2, 27), Date.UTC(2026, 9, 23));
  fc.assert(
    fc.property(days, fc.nat({ max: 4 * 24 * 60 }), (day, minute) => {
      const now = day + minute * 60_000;
      const [first, night] = viewPlan(fleetWith([NIGHT], now), now)?.rings ?? [];
      expect(first).toMatchObject({ hosts: ['ada', 'bob'], eligible: 2, connected: 1, beginsAt: now, passesAt: now + 60_000 });
      const ready = now + 60_000;
      const beginsAt = night?.beginsAt ?? 0;
      expect(night).toMatchObject({ passesAt: beginsAt + 10 * 60_000, held: null });
      if (beginsAt === ready) expect(['22', '23', '00', '01', '02']).toContain(berlin.format(ready).slice(0, 2));
      else expect([berlin.format(beginsAt), beginsAt > ready, beginsAt - ready <= 21 * 3_600_000]).toEqual(['22:00', true, true]);
    }),
  );
});

test('hosts whose label is paused are in no ring’s times, but named with what ends it', () => {
  const now = Date.UTC(2026, 0, 1);
  const fleet = fleetWith([], now);
  const stop = { label: 'role=dns', by: 'ada', reason: 'moved', at: now, until: now + 3_600_000 };
  const other = { ...stop, label: 'site=north', by: 'grace', until: undefined };
  const stopped = (host: FleetHost, ...stops: LabelStop[]): FleetHost => ({ ...host, situation: { ...host.situation, stops } });
  const [ada, bob, eve] = fleet.hosts as [FleetHost, FleetHost, FleetHost];
  // It runs that already: the pause keeps nothing from it.
  const same = hostOf('fox', true);
  const done = { ...same, situation: { ...same.situation, stable: same.situation.rollout } } as FleetHost;
  const plan = viewPlan({ ...fleet, hosts: [ada, stopped(bob, stop), stopped(eve, stop, other), stopped(done, stop)] }, now);
  expect(plan?.rings).toMatchObject([{ hosts: ['ada'] }, { isSkipped: true }]);
  expect(plan?.stopped).toEqual([
    { label: 'role=dns', by: 'ada', until: now + 3_600_000, hosts: ['bob', 'eve'], count: 2 },
    { label: 'site=north', by: 'grace', until: null, hosts: ['eve'], count: 1 },
  ]);
  expect(viewPlan(fleet, now)?.stopped).toEqual([]);
  const aborted = fleet.rollout && { ...fleet.rollout, state: 'ABORTED' as const, course: { ...fleet.rollout.course, state: 'ABORTED' as const } };
  expect(viewPlan({ rollout: aborted, hosts: [stopped(bob, stop)] }, now)?.stopped).toEqual([]);
});

test('a window that never opens again has no time, and neither has what follows', () => {
  const now = Date.UTC(2026, 0, 1);
  const [, never] = viewPlan(fleetWith([{ ...NIGHT, cron: '0 22 30 2 *' }], now), now)?.rings ?? [];
  expect(never).toMatchObject({ beginsAt: null, passesAt: null, held: 'window' });
});

test('a window by each host’s time begins with the first host that the ring asks', () => {
  const now = Date.UTC(2026, 10, 2, 12);
  const fleet = fleetWith([{ ...NIGHT, timeZone: 'host' }], now);
  const eve = (timeZone?: string): Fleet => ({ ...fleet, hosts: [...fleet.hosts.slice(0, 2), hostOf('eve', true, timeZone)] });
  const beginsAt = (given: Fleet): unknown => viewPlan(given, now)?.rings[1]?.beginsAt;
  expect(beginsAt(eve())).toBe(Date.UTC(2026, 10, 2, 22));
  expect(beginsAt(eve('Asia/Tokyo'))).toBe(Date.UTC(2026, 10, 2, 13));
  const two = [...eve('America/New_York').hosts, hostOf('fox', true, 'Asia/Tokyo')];
  const rollout = fleet.rollout && { ...fleet.rollout, rings: new Map([...(fleet.rollout.rings ?? []), ['fox' as HostName, 1]]) };
  expect(beginsAt({ ...fleet, rollout, hosts: two })).toBe(Date.UTC(2026, 10, 2, 13));
});

test('a host that is still built is planned like one that has its release', () => {
  const now = Date.UTC(2026, 0, 1);
  fc.assert(
    fc.property(fc.subarray(['ada', 'bob', 'eve']), fc.constantFrom<RingWindow[]>([], [NIGHT]), (building, windows) => {
      const { rollout, hosts } = fleetWith(windows, now);
      const without = (each: FleetHost): FleetHost => ({ ...each, situation: { ...each.situation, rollout: undefined } });
      const coming = new Map(
        hosts.flatMap(({ row, situation }) => (building.includes(row.host) ? [[row.host, situation.rollout?.toplevel as StorePath]] : [])),
      );
      const part: Fleet = {
        rollout: rollout && { ...rollout, coming },
        hosts: hosts.map((each) => (building.includes(each.row.host) ? without(each) : each)),
      };
      expect(viewPlan(part, now)).toEqual(viewPlan({ rollout, hosts }, now));
    }),
  );
});
