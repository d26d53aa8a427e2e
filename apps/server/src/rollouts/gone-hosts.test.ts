import { beginRollout, decideRollout, isRingPromoted, NOTHING_OBSERVED, type HostName, type KnownHost, type StorePath } from '@floe/model';
import type { CurrentRollout, Evaluation, FleetHost } from '@floe/store';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { engineOver, policyOfRings, rolloutAt } from '../test/rollouts.ts';
import { rolloutFacts } from './facts.ts';

// SPEC O31: the machine of the first ring has another name in the flake, and waits for its rename; or it left the flake.

const NOW = 1_000_000;
const [kiosk, lobby, other] = ['kiosk', 'lobby', 'other'] as readonly string[] as readonly [HostName, HostName, HostName];
const pathOf = (name: string): StorePath => `/nix/store/${'a'.repeat(32)}-${name}` as StorePath;
const BAD = { host: kiosk, toplevel: pathOf('kiosk-2'), sequence: 2, reason: 'a unit failed', at: 5 };

const POLICY = policyOfRings(['canaries', 'all'], (index) => ({
  members: { hosts: index === 0 ? [kiosk, lobby] : [], labels: [], share: undefined },
}));

/** What the store has of a host; `rollout`: the sequence of the commit that changed it last, if the rollout has it. */
function hostOf(
  host: HostName,
  of: { readonly isEnrolled: boolean; readonly rollout?: number; readonly failed?: typeof BAD; readonly seen?: boolean },
) {
  const { isEnrolled, rollout, failed, seen = false } = of;
  const row = { host, repositoryId: 'fleet', publicKey: isEnrolled ? 'key' : undefined, epoch: 1, observed: NOTHING_OBSERVED, state: 'IDLE' };
  const stable = isEnrolled ? { id: `${host}-1`, host, sequence: 1, toplevel: pathOf(`${host}-1`) } : undefined;
  const released = rollout === undefined ? undefined : { id: `${host}-${rollout}`, host, sequence: rollout, toplevel: pathOf(`${host}-${rollout}`) };
  return {
    row: { ...row, isConnected: isEnrolled, reportSeq: 1 },
    situation: {
      pin: undefined,
      hold: undefined,
      isRingPromoted: false,
      rollout: released,
      stable,
      directed: stable,
      quarantined: new Set([failed?.toplevel]),
    },
    desired: { kind: 'nothing' },
    quarantines: failed === undefined ? [] : [failed],
    acknowledged: new Set(seen && failed !== undefined ? [failed.toplevel] : []),
  } as unknown as FleetHost;
}

/** The rollout of a commit in which `kiosk` is called `lobby`, after what the server decides at its first look. */
async function decided(hosts: readonly FleetHost[], known: readonly KnownHost[] = [], more: readonly Evaluation[] = []): Promise<CurrentRollout> {
  const evaluations: readonly Evaluation[] = [
    { host: kiosk, outcome: 'REMOVED' },
    ...(hosts.some(({ row }) => row.host === lobby) ? [{ host: lobby, outcome: 'NEW', labels: [], formerHost: kiosk } as const] : []),
    { host: other, outcome: 'UNCHANGED', labels: [] },
    ...more,
  ];
  const engine = engineOver({
    now: NOW,
    save: () => true,
    evaluations: () => evaluations,
    lastComplete: { revisionId: 'old', policy: POLICY, known },
  });
  const { fleet } = await engine.tick({ rollout: rolloutAt(beginRollout(1), POLICY), hosts });
  if (fleet.rollout === undefined) throw new Error('nothing was decided');
  return fleet.rollout;
}

describe('a first ring whose only machine waits for its rename', () => {
  test('is passed over as an empty one, and the next ring takes its place', async () => {
    const hosts = [
      hostOf(kiosk, { isEnrolled: true }),
      hostOf(lobby, { isEnrolled: false, rollout: 3 }),
      hostOf(other, { isEnrolled: true, rollout: 3 }),
    ];
    const { course, rings } = await decided(hosts);
    expect([course.state, course.ring, course.provedRing]).toEqual(['ROLLING', 1, undefined]);
    // When it is renamed it is of that ring.
    expect([rings?.get(lobby), isRingPromoted(course, 0)]).toEqual([0, true]);
  });

  test('does not let later rings have what failed on that machine', async () => {
    const failed = [
      hostOf(kiosk, { isEnrolled: true, failed: BAD }),
      hostOf(lobby, { isEnrolled: false, rollout: 3 }),
      hostOf(other, { isEnrolled: true, rollout: 2 }),
    ];
    const rollout = await decided(failed);
    expect(rollout.course).toMatchObject({
      state: 'PAUSED',
      ring: 0,
      pause: { cause: 'failures', count: 1, failures: [{ host: kiosk, toplevel: BAD.toplevel }] },
    });
    // Nobody counts it but for that: it is asked nothing.
    const { hosts } = rolloutFacts(rollout, failed, NOW);
    expect(hosts.filter(({ isEligible }) => isEligible).map(({ host }) => host)).toEqual([other]);
  });

  test('goes on when a person saw that failure, when nobody is to get that commit any more, and when the machine was revoked', async () => {
    const others = [hostOf(lobby, { isEnrolled: false, rollout: 3 }), hostOf(other, { isEnrolled: true, rollout: 2 })];
    const seen = hostOf(kiosk, { isEnrolled: true, failed: BAD, seen: true });
    const [unenrolled, newer] = [hostOf(kiosk, { isEnrolled: false, failed: BAD }), hostOf(other, { isEnrolled: true, rollout: 3 })];
    const failed = hostOf(kiosk, { isEnrolled: true, failed: BAD });
    for (const hosts of [
      [seen, ...others],
      [unenrolled, ...others],
      [failed, hostOf(lobby, { isEnrolled: false, rollout: 3 }), newer],
    ])
      expect((await decided(hosts)).course).toMatchObject({ state: 'ROLLING', ring: 1 });
  });
});

describe('a machine that left the flake after it failed', () => {
  const other2 = hostOf(other, { isEnrolled: true, rollout: 2 });
  const gone = hostOf(kiosk, { isEnrolled: true, failed: BAD });

  test('counts in the ring that it had, by the gates of that ring', async () => {
    expect((await decided([gone, other2], [{ host: kiosk, ring: 'canaries', labels: [] }])).course).toMatchObject({
      state: 'PAUSED',
      ring: 0,
      pause: { failures: [{ host: kiosk, toplevel: BAD.toplevel }] },
    });
    // The second ring has the gates of the first here, because no ring before it has anybody; it is asked when it is reached.
    expect((await decided([gone, other2], [{ host: kiosk, ring: 'all', labels: [] }])).course).toMatchObject({ state: 'PAUSED', ring: 1 });
    // One whose ring is gone counts in the first.
    expect((await decided([gone, other2], [{ host: kiosk, ring: undefined, labels: [] }])).course).toMatchObject({ state: 'PAUSED', ring: 0 });
  });

  test('counts no more when somebody runs that commit', async () => {
    const runs = { ...other2, row: { ...other2.row, ...runsNow(pathOf('other-2')) } } as FleetHost;
    const third = hostOf('third' as HostName, { isEnrolled: true, rollout: 2 });
    expect((await decided([gone, runs, third])).course).toMatchObject({ state: 'ROLLING', ring: 1 });
  });
});

describe('a host that is asked late, when the rollout is complete', () => {
  const COMPLETE = { ...beginRollout(1), state: 'COMPLETE', ring: 1, provedRing: 0 } as const;
  const stableIs = (host: FleetHost, sequence: number): FleetHost => {
    const stable = { id: `${host.row.host}-${sequence}`, host: host.row.host, sequence, toplevel: pathOf(`${host.row.host}-${sequence}`) };
    return { ...host, situation: { ...host.situation, stable } };
  };
  const rollout: CurrentRollout = {
    ...rolloutAt(COMPLETE, POLICY),
    rings: new Map([
      [kiosk, 0],
      [lobby, 0],
      [other, 1],
    ]),
  };
  const decidedAt = (...hosts: readonly FleetHost[]) => decideRollout(COMPLETE, rolloutFacts(rollout, hosts, NOW), NOW).course;
  // Nobody runs the second commit, which it gets now: a pin or a hold kept it elsewhere, or it waited for its rename.
  const late = hostOf(other, { isEnrolled: true, rollout: 2 });

  test('gets no commit that failed where something newer is stable by now, before a person saw that (O12)', () => {
    const fixed = (seen: boolean): FleetHost => stableIs(hostOf(kiosk, { isEnrolled: true, rollout: 3, failed: BAD, seen }), 3);
    expect(decidedAt(fixed(false), late)).toMatchObject({ state: 'PAUSED', pause: { failures: [{ host: kiosk, toplevel: BAD.toplevel }] } });
    expect(decidedAt(fixed(true), late)).toMatchObject({ state: 'ROLLING', ring: 1 });
  });

  test('gets no commit that failed where it is stable (O12)', () => {
    const failed = (seen: boolean): FleetHost => stableIs(hostOf(kiosk, { isEnrolled: true, rollout: 2, failed: BAD, seen }), 2);
    expect(decidedAt(failed(false), late)).toMatchObject({ state: 'PAUSED', pause: { failures: [{ host: kiosk, toplevel: BAD.toplevel }] } });
    expect(decidedAt(failed(true), late)).toMatchObject({ state: 'ROLLING', ring: 1 });
    // Nobody is held up where there is nobody to ask.
    expect(decidedAt(failed(false), stableIs(late, 2))).toEqual(COMPLETE);
  });
});

test('whoever failed, and is called whatever now, holds up what others are still to get of that commit (O12, O31)', async () => {
  const anyFate = fc.constantFrom('stays', 'renamed', 'gone');
  const anyMachine = fc.record({ fate: anyFate, hasFailed: fc.boolean(), isSeen: fc.boolean(), isEnrolled: fc.boolean(), isLater: fc.boolean() });
  await fc.assert(
    fc.asyncProperty(fc.array(anyMachine, { minLength: 1, maxLength: 4 }), fc.boolean(), async (machines, isToCome) => {
      const named = machines.map((each, index) => ({ ...each, host: `m${index}` as HostName, next: `n${index}` as HostName }));
      const hosts = named.flatMap(({ host, next, fate, hasFailed, isSeen, isEnrolled }) => {
        const failed = { ...BAD, host, toplevel: pathOf(`${host}-2`) };
        const own = { isEnrolled, ...(hasFailed ? { failed } : {}), seen: isSeen };
        // The commit changes it again where it stays.
        if (fate === 'stays') return [hostOf(host, { ...own, rollout: 3 })];
        return [hostOf(host, own), ...(fate === 'renamed' ? [hostOf(next, { isEnrolled: false, rollout: 3 })] : [])];
      });
      const evaluations = named.flatMap(({ host, next, fate, isLater }): Evaluation[] => {
        const [stays, gone] = [
          { outcome: 'CHANGED', labels: [], ring: isLater ? 'all' : 'canaries' } as const,
          { host, outcome: 'REMOVED' } as const,
        ];
        if (fate === 'stays') return [{ host, ...stays }];
        return fate === 'renamed' ? [gone, { host: next, ...stays, formerHost: host }] : [gone];
      });
      const known = named.map(({ host, isLater }): KnownHost => ({ host, ring: isLater ? 'all' : 'canaries', labels: [] }));
      const others = [hostOf(other, { isEnrolled: true, rollout: isToCome ? 2 : 3 })];
      const { course } = await decided([...hosts, ...others], known, evaluations);
      const counts = named.filter(({ hasFailed, isSeen, isEnrolled, isLater }) => {
        // A later ring is asked when it is reached, and here nothing passes the first one but that it is empty.
        const isAtFirst = named.some(({ fate, isEnrolled: isIn, isLater: isOfLater }) => fate === 'stays' && isIn && !isOfLater);
        return isToCome && hasFailed && !isSeen && isEnrolled && (!isLater || !isAtFirst);
      });
      const first = counts.filter(({ isLater }) => !isLater);
      const expected = (first.length > 0 ? first : counts).map(({ host }) => host).toSorted();
      const paused = course.pause?.cause === 'failures' ? course.pause.failures.map(({ host }) => host) : [];
      expect(paused, JSON.stringify(course)).toEqual(expected);
    }),
  );
});

function runsNow(toplevel: StorePath) {
  return { state: 'SUCCEEDED', stateToplevel: toplevel, observed: { current: toplevel, booted: toplevel, profile: { generation: 1, toplevel } } };
}
