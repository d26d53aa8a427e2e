import { beginRollout, DEFAULT_POLICY, NO_ORDERS, NOTHING_OBSERVED, type HostName, type StorePath } from '@floe/model';
import { expect, test } from 'vitest';
import type { CurrentRollout, FleetHost } from './records.ts';
import { ringHosts, takesPart } from './ring-hosts.ts';

const NOW = 10_000_000;
const HOST = 'ada' as HostName;
const pathOf = (name: string): StorePath => `/nix/store/${'a'.repeat(32)}-${name}` as StorePath;
const release = (sequence: number) => ({ id: `r${sequence}`, host: HOST, sequence, toplevel: pathOf(`ada-${sequence}`) });

const rollout: CurrentRollout = {
  id: 'rollout',
  revisionId: 'revision',
  startedAt: 1,
  version: 1,
  state: 'ROLLING',
  course: { ...beginRollout(1), state: 'ROLLING' },
  policy: DEFAULT_POLICY,
  orders: NO_ORDERS,
  rings: undefined,
  weaker: [],
};

interface Changes {
  readonly row?: Record<string, unknown>;
  readonly situation?: Record<string, unknown>;
  readonly rest?: Record<string, unknown>;
}

/** An enrolled host that is connected, and that the rollout changes. */
function hostOf({ row = {}, situation = {}, rest = {} }: Changes = {}): FleetHost {
  const known = { host: HOST, repositoryId: 'fleet', publicKey: 'key', epoch: 1, reportSeq: 1, isConnected: true, state: 'IDLE' };
  return {
    row: { ...known, observed: NOTHING_OBSERVED, ...row },
    situation: { isRingPromoted: true, rollout: release(2), stable: release(1), quarantined: new Set(), ...situation },
    desired: { kind: 'nothing' },
    quarantines: [],
    acknowledged: new Set(),
    ...rest,
  } as unknown as FleetHost;
}

const asked = (changes?: Changes) => ringHosts(rollout, [hostOf(changes)], NOW)[0];
const order = { commit: 'c', sequence: 2, by: 'ada', reason: 'because', at: 1, isOfAll: false };
const ordered = new Map([[pathOf('ada-2'), order]]);
const stopped = { stops: [{ label: 'dns', by: 'ada', reason: 'because', at: 1, until: undefined }] };

test('a host that the rollout changes is asked (O3 and the head of "Rollout")', () => {
  expect(asked()).toMatchObject({ host: HOST, ring: 0, isEligible: true, isKept: false, progress: 'to-come', change: 2 });
});

test.each<[what: string, changes: Changes]>([
  ['was never enrolled', { row: { publicKey: undefined } }],
  ['was revoked', { row: { revokedAt: 5 } }],
  ['is one of two machines with its key', { row: { clonedAt: 5 } }],
  ['has a row that cannot be read', { row: { unreadable: 'epoch' } }],
])('one that %s belongs to no gate, and nobody keeps it', (_, changes) => {
  expect(takesPart(hostOf(changes).row)).toBe(false);
  expect(asked(changes)).toMatchObject({ isEligible: false, isKept: false });
});

test.each<[what: string, changes: Changes]>([
  ['a pin', { situation: { pin: release(1) } }],
  ['a hold', { situation: { hold: release(1) } }],
  ['a trial', { situation: { trial: { ...release(1), endsAt: NOW + 1 } } }],
  ['a stop of its label', { situation: stopped }],
  ['a person who quarantined the system', { situation: { ordered } }],
  ['a stepping stone that failed on it', { situation: { stone: { ...release(1), name: 'agent' }, quarantined: new Set([pathOf('ada-1')]) } }],
  ['its user', { row: { state: 'IDLE', detail: { code: 'LOCAL_OVERRIDE', message: 'a user' } } }],
])('one that is kept elsewhere by %s is not asked, and is asked later', (_, changes) => {
  expect(asked(changes)).toMatchObject({ isEligible: false, isKept: true });
});

test('one that is held with the release that the rollout has for it is asked: it gets that in its turn', () => {
  expect(asked({ situation: { hold: release(2) } })).toMatchObject({ isEligible: true, isKept: false });
  // It would wait with another release of the same system.
  expect(asked({ situation: { hold: { ...release(1), toplevel: pathOf('ada-2') } } })).toMatchObject({ isEligible: false, isKept: true });
});

test('one that runs what was proved there before needs no canary; nothing is kept from it', () => {
  const same = { ...release(2), toplevel: pathOf('ada-1') };
  expect(asked({ situation: { rollout: same } })).toMatchObject({ isEligible: false, isKept: false });
  expect(asked({ situation: { rollout: same, pin: release(1) } })).toMatchObject({ isEligible: false, isKept: false });
  expect(asked({ situation: { rollout: undefined } })).toBeUndefined();
});

test('what failed stays a failure, whatever a person says about the system afterwards, and what has begun comes to its verdict (O12, D11)', () => {
  const failed = { quarantined: new Set([pathOf('ada-2')]) };
  expect(asked({ situation: failed })).toMatchObject({ isEligible: true, progress: 'failed', isAcknowledged: false });
  expect(asked({ situation: { ...failed, ordered } })).toMatchObject({ isEligible: true, progress: 'failed' });
  expect(asked({ situation: failed, rest: { acknowledged: new Set([pathOf('ada-2')]) } })).toMatchObject({ isAcknowledged: true });
  const began = { state: 'ACTIVATING', stateToplevel: pathOf('ada-2'), went: { toplevel: pathOf('ada-2'), until: NOW + 5 } };
  expect(asked({ row: began, situation: stopped })).toMatchObject({ isEligible: true, progress: 'in-flight' });
});

test('one that is lost after its go has failed, and says so; one that was away before it counts in no gate (O11)', () => {
  const away = { isConnected: false, lastSeenAt: NOW - 3_600_000 };
  expect(asked({ row: away })).toMatchObject({ progress: 'away', isBrieflyAway: false, failure: undefined });
  const went = { toplevel: pathOf('ada-2'), until: NOW - 1 };
  expect(asked({ row: { ...away, went } })).toMatchObject({ progress: 'failed', failure: 'came to no verdict in time after it began' });
  expect(asked({ row: { ...away, lastSeenAt: NOW - 1 } })).toMatchObject({ progress: 'away', isBrieflyAway: true });
});

test('what failed on it of earlier commits is carried, also of those before its stable one, unless a person keeps it elsewhere (O12)', () => {
  const bad = (sequence: number) => ({ host: HOST, toplevel: pathOf(`bad-${sequence}`), sequence, reason: 'a unit failed', at: 1 });
  const of = (changes: Changes = {}, ...failed: number[]) =>
    asked({ ...changes, rest: { quarantines: failed.map(bad) } })?.failedBefore?.map(({ change }) => change);
  const newer = { situation: { rollout: release(9) } };
  expect(of(newer, 1, 2, 8, 9)).toEqual([1, 2, 8]);
  expect(of({ situation: { ...newer.situation, pin: release(1) } }, 2)).toBeUndefined();
  expect(of({ ...newer, row: { revokedAt: 5 } }, 2)).toBeUndefined();
});

test('one whose name is not in the flake any more is asked nothing, and what failed on it counts while its enrolment holds (O31)', () => {
  const failed = { quarantines: [{ host: HOST, toplevel: pathOf('bad-2'), sequence: 2, reason: 'a unit failed', at: 1 }] };
  const of = (changes: Changes = {}, more: Partial<CurrentRollout> = { rings: new Map([[HOST, 0]]) }) =>
    ringHosts({ ...rollout, ...more }, [hostOf({ ...changes, rest: failed, situation: { rollout: undefined, ...changes.situation } })], NOW);
  expect(of()).toMatchObject([
    {
      host: HOST,
      ring: 0,
      isEligible: false,
      progress: 'waiting',
      failedBefore: [{ change: 2, isAcknowledged: false, failure: expect.stringContaining('before its name left the flake') as string }],
    },
  ]);
  // Revoked, kept elsewhere by a person, still built, or in none of its rings.
  expect(of({ row: { revokedAt: 5 } })).toEqual([]);
  for (const kept of [{ pin: release(1) }, { hold: release(1) }, { trial: { ...release(1), endsAt: NOW + 1 } }])
    expect(of({ situation: kept })).toEqual([]);
  expect(of({ row: { detail: { code: 'LOCAL_OVERRIDE', message: 'a user' } } })).toEqual([]);
  expect(of({}, { rings: new Map([[HOST, 0]]), coming: new Map([[HOST, pathOf('ada-3')]]) })).toEqual([]);
  expect(of({}, { rings: new Map() })).toEqual([]);
  // Also what its stable release came after: others may be asked late.
  expect(of({ situation: { stable: release(5) } })).toMatchObject([{ failedBefore: [{ change: 2 }] }]);
});
