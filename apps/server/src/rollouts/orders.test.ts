import {
  DEFAULT_POLICY,
  decideRollout,
  defaultGates,
  isRingPromoted,
  NO_ORDERS,
  resolve,
  ROLES,
  ROLLOUT_STATES,
  whyNot,
  type Approval,
  type HostName,
  type HostProgress,
  type RingHost,
  type RolloutCourse,
  type RolloutPause,
  type RolloutPolicy,
  type StorePath,
} from '@floe/model';
import { whyWords } from '@floe/views';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { rolloutAt } from '../test/rollouts.ts';
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
    rollout: rolloutAt(now, POLICY, { orders: people, rings: new Map() }),
    facts: {
      policy: POLICY,
      hosts: hosts.map(hostOf),
      windows: [],
      probes: [],
      orders: people,
      authors: [],
      hasUnknownAuthor: true,
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
    ['ABORTED', /was aborted already, and hosts that run it keep it: .*floe rollout abort c{10} --revert.*revert c{10} and push/],
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
    for (const hasUnknownAuthor of [false, true]) {
      const more = { authors: ['ada'], hasUnknownAuthor, hasOtherAdministrator: true };
      expect(judgeApproval(waiting([], ['one'], more), all, ada)).toMatchObject({ kind: 'refused', code: 'APPROVAL_DOES_NOT_COUNT' });
    }
    expect(judgeApproval(waiting([], ['one']), all, { ...ada, role: 'approver' })).toMatchObject({
      kind: 'refused',
      code: 'APPROVAL_DOES_NOT_COUNT',
    });
  });
});

describe('what floe why offers is not refused', () => {
  const anyApprovals = fc.record({ count: fc.nat(2), role: fc.constantFrom(...ROLES), notAuthor: fc.boolean() });
  const people = fc.constantFrom('ada', 'bob', 'cyd');
  const any = fc.record({
    asks: fc.tuple(fc.option(anyApprovals, { nil: undefined }), fc.option(anyApprovals, { nil: undefined })),
    state: fc.constantFrom('WAITING_APPROVAL' as const, ...ROLLOUT_STATES),
    at: fc.record({ ring: fc.nat(1), provedRing: fc.constantFrom(undefined, 0) }),
    progress: fc.array(fc.tuple(fc.nat(1), fc.constantFrom('to-come', 'in-flight', 'verified', 'away')), { maxLength: 3 }),
    coming: fc.array(fc.record({ ring: fc.nat(1), isPresent: fc.boolean() }), { maxLength: 2 }),
    evaluating: fc.constantFrom(undefined, undefined, 1, 2),
    given: fc.array(fc.record({ by: people, role: fc.constantFrom(...ROLES), ring: fc.nat(1), binds: fc.constantFrom('now', 'before') }), {
      maxLength: 3,
    }),
    authors: fc.uniqueArray(people),
    hasUnknownAuthor: fc.boolean(),
    hasOtherAdministrator: fc.boolean(),
    loosens: fc.subarray(['one', 'other']),
    ring: fc.nat(1),
  });
  type Given = typeof any extends fc.Arbitrary<infer Value> ? Value : never;

  function toAsked({
    asks,
    state,
    at,
    progress,
    coming,
    evaluating,
    given,
    authors,
    hasUnknownAuthor,
    hasOtherAdministrator,
    loosens,
  }: Given): AskedRollout {
    const approvals = given.map((each) => ({ ...each, person: each.by, reason: '', at: 1, loosens: [] }));
    const hosts = progress.map(([ring, how], index) => `host${index}:${ring} ${how}`);
    const { rollout, facts } = asked(hosts, { state, ...at }, { approvals });
    const policy: RolloutPolicy = { ...POLICY, rings: POLICY.rings.map((ring, index) => ({ ...ring, approvals: asks[index] })) };
    const still = coming.map((each, index) => ({ ...each, host: `coming${index}` as HostName }));
    const weaker = loosens.map((id) => ({ id, text: id }));
    const more = { policy, coming: still, evaluating, authors, hasUnknownAuthor, hasOtherAdministrator, weaker, binds: 'now' };
    return { sha: COMMIT, rollout: { ...rollout, policy }, facts: { ...facts, ...more } };
  }

  function offersOf({ rollout: { course }, facts }: AskedRollout, ring: number): readonly string[] {
    const [host, old] = ['ada' as HostName, TOPLEVEL.replace('system', 'old') as StorePath];
    const release = (sequence: number, toplevel: StorePath) => ({ id: String(sequence), host, sequence, toplevel });
    const situation = {
      pin: undefined,
      hold: undefined,
      isRingPromoted: isRingPromoted(course, ring),
      rollout: release(2, TOPLEVEL),
      stable: release(1, old),
      directed: release(1, old),
      quarantined: new Set<StorePath>(),
    };
    const reasons = whyNot(
      {
        host,
        enrolment: 'enrolled',
        isConnected: true,
        observed: { current: old, booted: old, profile: { generation: 1, toplevel: old } },
        state: 'SUCCEEDED',
        subject: old,
        isOverridden: false,
        isRetryPending: false,
        newest: { kind: 'ended', offer: { kind: 'release', toplevel: TOPLEVEL } },
        situation,
        desired: resolve(situation),
        rollout: { course, facts, ring },
        train: undefined,
        admitted: undefined,
      },
      9,
    );
    const words = {
      said: undefined,
      error: undefined,
      mayRetry: false,
      mayResume: false,
      unknownAuthor: 'nobody knows',
      isDownloaded: false,
      release: String,
      time: String,
    };
    return reasons.map((reason) => whyWords(reason, { host, ...words }).end);
  }

  test('floe rollout approve is offered where somebody who is no author may approve, and the rollout waits', () => {
    const offered = { yes: 0, no: 0 };
    fc.assert(
      fc.property(any, (given) => {
        const rollout = toAsked(given);
        const { course, policy } = rollout.rollout;
        const zoe = { by: 'zoe', person: 'zoe', role: 'administrator', reason: '', at: 9 } as const;
        const isOffered = offersOf(rollout, given.ring).some((end) => end.startsWith('floe rollout approve'));
        const judged = judgeApproval(rollout, { commit: COMMIT, ring: policy.rings[course.ring]?.name ?? '' }, zoe);
        if (isOffered) expect(judged.kind).toBe('order');
        // And where the host waits for it, it is offered.
        const waits = course.state === 'WAITING_APPROVAL' && !isRingPromoted(course, given.ring);
        if (waits && decideRollout(course, rollout.facts, 9).steps.length === 0) expect(isOffered).toBe(judged.kind === 'order');
        offered[isOffered ? 'yes' : 'no'] += 1;
      }),
      { numRuns: 1000 },
    );
    // About 70 of 1,000.
    expect(offered.yes).toBeGreaterThan(10);
  });
});
