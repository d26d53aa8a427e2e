import {
  DEFAULT_POLICY,
  defaultGates,
  NO_ORDERS,
  type Approval,
  type HostName,
  type HostProgress,
  type RingHost,
  type RolloutCourse,
  type RolloutPause,
  type StorePath,
} from '@floe/model';
import { describe, expect, test } from 'vitest';
import { judgeAbort, judgeApproval, judgeHotfix, judgeResume, type AskedRollout, type Judged } from './orders.ts';

// What somebody is told who decides something at night, and has nobody to ask.

const COMMIT = 'c'.repeat(40);
const TOPLEVEL = `/nix/store/${'a'.repeat(32)}-system` as StorePath;
const [first] = DEFAULT_POLICY.rings;
if (first === undefined) throw new Error('the default policy has a ring');
const POLICY = { ...DEFAULT_POLICY, rings: ['canary', 'all'].map((name, index) => ({ ...first, ...defaultGates(index, 2), name })) };
const eve = { by: 'eve', person: 'eve', role: 'administrator', reason: 'because', at: 5 } as const;

/** "ada:0 failed" */
function hostOf(text: string): RingHost {
  const [name = '', ring = '', progress = ''] = text.split(/[: ]/);
  return {
    host: name as HostName,
    ring: Number(ring),
    toplevel: TOPLEVEL,
    platform: undefined,
    isEligible: true,
    progress: progress as HostProgress,
    isBrieflyAway: false,
    failure: progress === 'failed' ? 'no printer' : undefined,
    isAcknowledged: false,
  };
}

function asked(hosts: readonly string[], course: Partial<RolloutCourse>, orders: Partial<typeof NO_ORDERS> = {}): AskedRollout {
  const now: RolloutCourse = { state: 'ROLLING', ring: 0, since: 1, ringSince: 1, pause: undefined, provedRing: undefined, ...course };
  const people = { ...NO_ORDERS, ...orders };
  return {
    sha: COMMIT,
    rollout: {
      id: 'rollout',
      revisionId: 'revision',
      startedAt: 1,
      version: 1,
      state: now.state,
      course: now,
      policy: POLICY,
      orders: people,
      weaker: [],
      rings: new Map(),
    },
    facts: {
      policy: POLICY,
      hosts: hosts.map(hostOf),
      windows: [],
      probes: [],
      orders: people,
      authors: undefined,
      hasOtherAdministrator: false,
      weaker: [],
    },
  };
}

function pauseOf(...hosts: readonly string[]): RolloutPause {
  return {
    cause: 'failures',
    failures: hosts.map((host) => ({ host: host as HostName, toplevel: TOPLEVEL, reason: 'no printer' })),
    count: hosts.length,
  };
}

const messageOf = ({ message }: Judged): string => message;

describe('resume says when it leads nowhere, and what will end that', () => {
  const resumed = (hosts: string[], ...failed: string[]): string =>
    messageOf(judgeResume(asked(hosts, { state: 'PAUSED', pause: pauseOf(...failed) }), undefined));

  test.each([
    [
      ['ada:0 failed'],
      /nobody is left who could verify c{10}: each host that it changes has failed.*push another commit.*floe retry HOST.*floe rollout abort/i,
    ],
    [['ada:0 failed', 'bob:1 failed'], /each host that it changes has failed/],
    [
      ['ada:0 failed', 'cyd:0 away', 'bob:1 to-come'],
      /all that are left in ring canary are away \(cyd\): it goes on when one of them is back.*push another commit/,
    ],
  ])('%j', (hosts, said) => {
    expect(resumed(hosts, ...hosts.flatMap((host) => (host.endsWith('failed') ? [host.slice(0, 3)] : [])))).toMatch(said);
  });

  test.each([
    [['ada:0 failed', 'bob:1 to-come']],
    [['ada:0 failed', 'cyd:0 verified', 'dan:0 away']],
    [['ada:0 failed', 'cyd:0 in-flight', 'dan:0 away']],
  ])('%j goes on', (hosts) => {
    expect(resumed(hosts, 'ada')).not.toMatch(/ But /);
  });
});

describe('a hotfix says that a pause holds it, and how to end that', () => {
  test('its own, and a person’s', () => {
    const paused = asked(['ada:0 failed'], { state: 'PAUSED', pause: pauseOf('ada') });
    expect(messageOf(judgeHotfix(paused, COMMIT, eve))).toMatch(/It stays paused \(1 host failed: ada.*\): to end that, run: floe rollout resume/);
    const freeze = { by: 'bob', reason: 'holidays', at: 1, until: undefined };
    expect(messageOf(judgeHotfix(asked(['ada:0 to-come'], {}, { freeze }), COMMIT, eve))).toMatch(
      /It stays paused, as bob paused all rollouts \(holidays\): to end that, run: floe rollout resume/,
    );
    expect(messageOf(judgeHotfix(asked(['ada:0 to-come'], {}), COMMIT, eve))).not.toContain('stays paused');
  });
});

describe('an abort that comes too late names the ways out', () => {
  test.each([
    ['COMPLETE', /is complete, so that there is nothing to abort: .*revert c{10} and push.*floe pin HOST COMMIT.*floe hold HOST/],
    ['ABORTED', /was aborted already, and hosts that run it keep it: .*floe rollout abort --revert.*revert c{10} and push/],
  ] as const)('%s', (state, said) => {
    const judged = judgeAbort(asked(['ada:0 verified'], { state }, { abort: { ...eve } }), COMMIT);
    expect(judged).toMatchObject({ kind: 'refused', code: 'ROLLOUT_ENDED', message: expect.stringMatching(said) as string });
  });
});

describe('an approval', () => {
  const ada = { ...eve, by: 'ada', person: 'ada', role: 'administrator' as const };
  const waiting = (approvals: readonly Approval[], loosens: readonly string[], more: Partial<AskedRollout['facts']> = {}): AskedRollout => {
    const given = asked(['ada:1 to-come'], { state: 'WAITING_APPROVAL', ring: 1, provedRing: 0 }, { approvals });
    const weaker = loosens.map((id) => ({ id, text: `text of ${id}` }));
    return { ...given, facts: { ...given.facts, binds: 'now', weaker, ...more } };
  };
  const all = { commit: COMMIT, ring: 'all' };

  test('of an administrator says what it was given for, and once more where something is new', () => {
    expect(judgeApproval(waiting([], ['one']), all, ada)).toMatchObject({ order: { kind: 'approve', binds: 'now', loosens: ['one'] } });
    const given = { ...ada, ring: 1, binds: 'now', loosens: ['one'] };
    expect(judgeApproval(waiting([given], ['one']), all, ada)).toMatchObject({ kind: 'repeat' });
    expect(judgeApproval(waiting([given], ['one', 'other']), all, ada)).toMatchObject({ order: { loosens: ['one', 'other'] } });
  });

  test('of whoever pushed it is for nothing of what it loosens, nor is one of a lower role', () => {
    const more = { authors: ['ada'], hasOtherAdministrator: true };
    expect(judgeApproval(waiting([], ['one'], more), all, ada)).toMatchObject({ kind: 'refused', code: 'APPROVAL_DOES_NOT_COUNT' });
    expect(judgeApproval(waiting([], ['one']), all, { ...ada, role: 'approver' })).toMatchObject({
      kind: 'refused',
      code: 'APPROVAL_DOES_NOT_COUNT',
    });
  });
});
