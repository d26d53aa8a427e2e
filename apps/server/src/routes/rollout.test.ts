import {
  DEFAULT_POLICY,
  defaultGates,
  NO_ORDERS,
  NOTHING_OBSERVED,
  type CommitSha,
  type Role,
  type RolloutCourse,
  type RolloutOrders,
  type StorePath,
  type Freeze,
} from '@floe/model';
import { HostName } from '@floe/protocol';
import type { CurrentRollout, FleetHost, NewRolloutOrder, Repository, Revision } from '@floe/store';
import { utcTime } from '@floe/views';
import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import { FAKE_REPOSITORY, fakeApp, fakeTokenOf } from '../test/fake-app.ts';
import { seenApproval } from '../rollouts/seen-approval.ts';
import { rolloutAt } from '../test/rollouts.ts';

const COMMIT = 'c'.repeat(40);
const toplevel = `/nix/store/${'a'.repeat(32)}-system` as StorePath;
const ada = v.parse(HostName, 'ada');
const APPROVED = { count: 2, role: 'approver', notAuthor: false } as const;
const [first] = DEFAULT_POLICY.rings;
if (first === undefined) throw new Error('the default policy has a ring');
const ring = (name: string, index: number) => ({ ...first, ...defaultGates(index, 2), name });
const POLICY = { ...DEFAULT_POLICY, rings: [{ ...ring('canary', 0), approvals: APPROVED }, ring('all', 1)] };

interface Given {
  readonly course?: Partial<RolloutCourse>;
  readonly orders?: Partial<RolloutOrders>;
  readonly policy?: CurrentRollout['policy'];
  readonly unreadable?: string;
  /** Where it is by the time an order is stored, each time that one is tried. */
  readonly moves?: Partial<RolloutCourse>[];
  readonly unfreeze?: boolean;
  /** Those that a commit which is asked for is looked up in. */
  readonly revisions?: readonly Partial<Revision>[];
  readonly repository?: Partial<Repository>;
  /** Commits that were being built, and that a newer one ends. */
  readonly ended?: readonly CommitSha[];
}

/** The app with one rollout of two rings, and what is stored of it. `early`: a freeze from before the first rollout. */
function withRollout(given: Given | undefined, early?: Freeze) {
  const stored: (NewRolloutOrder | object)[] = [];
  const course: RolloutCourse = {
    state: 'WAITING_APPROVAL',
    ring: 0,
    since: 7,
    ringSince: 7,
    pause: undefined,
    provedRing: undefined,
    ...given?.course,
  };
  const rollout = rolloutAt(course, given?.policy ?? POLICY, {
    orders: { ...NO_ORDERS, ...given?.orders },
    rings: new Map([[ada, 0]]),
    unreadable: given?.unreadable,
  });
  const release = { id: 'release', host: ada, sequence: 3, toplevel };
  const host = {
    row: {
      host: ada,
      repositoryId: FAKE_REPOSITORY.id,
      publicKey: 'key',
      epoch: 1,
      observed: NOTHING_OBSERVED,
      state: 'ROLLED_BACK',
      stateToplevel: toplevel,
      isConnected: true,
      acceptedSequence: 3,
      reportSeq: 1,
    },
    situation: {
      pin: undefined,
      hold: undefined,
      isRingPromoted: false,
      rollout: release,
      stable: undefined,
      directed: undefined,
      quarantined: new Set(),
    },
    desired: { kind: 'nothing' },
    quarantines: [],
    acknowledged: new Set(),
    desiredCommit: undefined,
  } as FleetHost;
  const fleet: { rollout: CurrentRollout | undefined; readonly hosts: readonly FleetHost[] } = {
    rollout: given === undefined ? undefined : rollout,
    hosts: [host],
  };
  const app = fakeApp({
    store: {
      hosts: { fleet: async () => await Promise.resolve(fleet) },
      revisions: {
        get: async () => await Promise.resolve({ id: 'revision', sha: COMMIT, state: 'PUBLISHED' } as Revision),
        endOlder: async () => await Promise.resolve(given?.ended ?? []),
        byShaPrefix: async () => await Promise.resolve((given?.revisions ?? []) as Revision[]),
      },
      repositories: {
        get: async () => await Promise.resolve({ ...FAKE_REPOSITORY, ...given?.repository }),
        wake: async () => void (await Promise.resolve(stored.push({ woken: true }))),
      },
      rollouts: {
        order: async (order) => {
          const isMoved = given?.moves?.shift();
          if (isMoved !== undefined) await Promise.resolve((fleet.rollout = { ...rollout, course: { ...course, ...isMoved } }));
          else stored.push(order);
          return isMoved === undefined;
        },
        freeze: async (_repository, freeze) => {
          stored.push(freeze);
          return await Promise.resolve(rollout.orders.freeze);
        },
        freezeOf: async () => await Promise.resolve(given?.orders?.freeze ?? early),
        unfreeze: async (_repository, seen) => {
          stored.push({ unfreeze: seen });
          return await Promise.resolve(given?.unfreeze ?? true);
        },
      },
    },
  });
  const as = async (role: Role, what: string, body: object) =>
    await app.ask('POST', `/api/rollout/${what}`, { reason: 'why', ...body }, { authorization: `Bearer ${fakeTokenOf(role)}` });
  return { ...app, as, stored };
}

const order = { by: 'eve', role: 'approver', reason: 'looks good', at: 3 } as const;
const FAILED = { cause: 'failures', count: 1, failures: [{ host: ada, toplevel, reason: 'no network' }] } as const;

describe('an approval', () => {
  const wanted = { commit: COMMIT, ring: 'canary' };

  test('is stored with who gave it, for its ring, and says what is still missing', async () => {
    const { as, stored, audit } = withRollout({});
    expect(await as('approver', 'approve', wanted)).toMatchObject({
      status: 200,
      body: { outcome: 'done', message: expect.stringMatching(/still needs 1 more approval/) as string },
    });
    expect(stored).toMatchObject([{ rolloutId: 'rollout', kind: 'approve', subject: 0, by: 'a-approver', role: 'approver', reason: 'why' }]);
    expect(audit).toMatchObject([{ actor: 'a-approver', action: 'approve-rollout', subject: COMMIT, detail: 'why' }]);
    const last = withRollout({ orders: { approvals: [{ ...order, ring: 0 }] } });
    expect((await last.as('approver', 'approve', wanted)).body).toMatchObject({
      message: expect.stringContaining('has all the approvals') as string,
    });
  });

  test('of what the person saw is refused once there is something else', async () => {
    const { as, stored } = withRollout({});
    await as('approver', 'approve', wanted);
    const { binds } = v.parse(v.looseObject({ binds: v.string() }), stored[0]);
    const seen = seenApproval(binds, 'canary');
    const other = `${seen.startsWith('A') ? 'B' : 'A'}${seen.slice(1)}`;
    // The same of another ring is another decision.
    for (const each of [other, seenApproval(binds, 'all')])
      expect(await as('approver', 'approve', { ...wanted, seen: each })).toMatchObject({ status: 409, code: 'APPROVAL_CHANGED' });
    expect(stored).toHaveLength(1);
    expect(await as('approver', 'approve', { ...wanted, seen: seen.slice(0, 12) })).toMatchObject({ status: 200 });
    expect(stored).toHaveLength(2);
  });

  test('of the same person counts once, and says so', async () => {
    const { as, stored, audit } = withRollout({ orders: { approvals: [{ ...order, by: 'a-approver', ring: 0 }] } });
    expect(await as('approver', 'approve', wanted)).toMatchObject({
      status: 200,
      body: { outcome: 'repeated', message: expect.stringMatching(/counts once: it still needs 1 more approval/) as string },
    });
    expect([stored, audit]).toEqual([[], []]);
  });

  test.each([
    ['for a superseded rollout', {}, { commit: 'd'.repeat(40), ring: 'canary' }, 'ROLLOUT_SUPERSEDED'],
    ['for a ring that is not reached', {}, { commit: COMMIT, ring: 'all' }, 'RING_NOT_CURRENT'],
    ['for a ring that has passed', { course: { ring: 1 } }, wanted, 'RING_NOT_CURRENT'],
    ['for a ring that there is not', {}, { commit: COMMIT, ring: 'everyone' }, 'RING_UNKNOWN'],
    ['of what needs none', { course: { ring: 1, provedRing: 0 } }, { commit: COMMIT, ring: 'all' }, 'NOT_WAITING'],
    ['of what is over', { course: { state: 'ABORTED' } }, wanted, 'ROLLOUT_ENDED'],
    ['of what cannot be read', { unreadable: 'pause' }, wanted, 'ROLLOUT_UNREADABLE'],
  ] as const)('%s is refused', async (_what, given, body, code) => {
    const { as, stored, audit } = withRollout(given);
    expect(await as('approver', 'approve', body)).toMatchObject({ status: 409, code });
    expect([stored, audit]).toEqual([[], []]);
  });

  test('that would not count is refused, with what would', async () => {
    const withApprovals = (approvals: Partial<typeof APPROVED> | { role: Role } | { notAuthor: boolean }) => ({
      policy: { ...POLICY, rings: [{ ...ring('canary', 0), approvals: { ...APPROVED, ...approvals } }, ring('all', 1)] },
    });
    const low = withRollout(withApprovals({ role: 'administrator' }));
    expect(await low.as('approver', 'approve', wanted)).toMatchObject({
      status: 409,
      code: 'APPROVAL_DOES_NOT_COUNT',
      message: expect.stringContaining('2 more approvals (administrator)') as string,
    });
    const author = withRollout(withApprovals({ notAuthor: true }));
    expect(await author.as('administrator', 'approve', wanted)).toMatchObject({ status: 409, code: 'APPROVAL_DOES_NOT_COUNT' });
    expect([...low.stored, ...author.stored]).toEqual([]);
  });
});

describe('a pause', () => {
  test('stops all rollouts, with a reason and perhaps an end', async () => {
    const { as, stored, audit } = withRollout({ course: { state: 'ROLLING' } });
    const until = Date.now() + 60_000;
    expect(await as('operator', 'pause', { until })).toMatchObject({ status: 200, body: { message: expect.stringContaining('until') as string } });
    expect(stored).toMatchObject([{ by: 'a-operator', reason: 'why', until }]);
    expect(audit).toMatchObject([{ action: 'pause-rollout', subject: COMMIT, detail: `until ${utcTime(until)}: why` }]);
  });

  test('that ended before it began is refused', async () => {
    const { as, stored } = withRollout({});
    expect(await as('operator', 'pause', { until: 1000 })).toMatchObject({ status: 400, code: 'UNTIL_PAST' });
    expect(stored).toEqual([]);
  });

  test('over another one says whose it replaces', async () => {
    const { as, audit } = withRollout({ orders: { freeze: { by: 'eve', reason: 'holidays', at: 3, until: undefined } } });
    expect((await as('operator', 'pause', {})).body).toMatchObject({
      message: expect.stringMatching(/replaces the pause of eve: holidays/) as string,
    });
    expect(audit).toMatchObject([{ detail: 'in place of the pause of eve: why' }]);
  });
});

describe('a resume', () => {
  test('ends a person’s pause first, and says what is left', async () => {
    const freeze = { by: 'eve', reason: 'holidays', at: 3, until: undefined };
    const { as, stored } = withRollout({ course: { state: 'PAUSED', pause: FAILED }, orders: { freeze } });
    expect((await as('operator', 'resume', {})).body).toMatchObject({
      message: expect.stringMatching(/eve is over.*still paused: 1 host failed: ada/) as string,
    });
    expect(stored).toEqual([{ unfreeze: freeze }]);
    const late = withRollout({ orders: { freeze }, unfreeze: false });
    expect(await late.as('operator', 'resume', {})).toMatchObject({ status: 409, code: 'PAUSE_CHANGED' });
    const over = withRollout({ orders: { freeze: { ...freeze, until: 5 } } });
    expect(await over.as('operator', 'resume', {})).toMatchObject({ status: 409, code: 'NOT_PAUSED' });
  });

  test('names the ring that gets the commit next, and none after the last', async () => {
    const freeze = { by: 'eve', reason: 'holidays', at: 3, until: undefined };
    for (const given of [
      { course: { state: 'PAUSED', pause: FAILED } },
      { course: { state: 'PAUSED', pause: { cause: 'freeze', by: 'eve', reason: 'holidays' } }, orders: { freeze } },
      { course: { state: 'PAUSED', pause: { cause: 'deadline', missing: 1, present: 0, eligible: 1, untried: [] } } },
    ] as const) {
      const message = async (at: number) =>
        JSON.stringify((await withRollout({ ...given, course: { ...given.course, ring: at } }).as('operator', 'resume', {})).body);
      expect(await message(0)).toMatch(/at ring canary goes on.*Ring all gets it next\./);
      expect(await message(1)).toMatch(/at ring all goes on/);
      expect(await message(1)).not.toContain('next.');
    }
    const { as } = withRollout({ course: { state: 'PAUSED', ring: 0, pause: { cause: 'after-ring' } } });
    expect((await as('operator', 'resume', {})).body).toMatchObject({ message: expect.stringContaining('now with ring all, goes on') as string });
  });

  test('acknowledges what its pause names, and ends that pause only', async () => {
    const { as, stored, audit } = withRollout({ course: { state: 'PAUSED', pause: FAILED, since: 70 } });
    expect(await as('operator', 'resume', { since: 70 })).toMatchObject({ status: 200 });
    expect(stored).toMatchObject([{ kind: 'resume', subject: 70, acknowledged: [{ host: 'ada', toplevel }] }]);
    expect(audit).toMatchObject([{ action: 'resume-rollout' }]);
    expect(await as('operator', 'resume', { since: 69 })).toMatchObject({ status: 409, code: 'PAUSE_CHANGED', message: /no network/ });
  });

  test('of a pause that is not about failures acknowledges none', async () => {
    for (const pause of [{ cause: 'after-ring' } as const, { cause: 'probe', answers: [] } as const]) {
      const { as, stored } = withRollout({ course: { state: 'PAUSED', pause } });
      await as('operator', 'resume', {});
      expect(stored).toMatchObject([{ kind: 'resume', acknowledged: [] }]);
    }
  });

  test('does not end the pause of somebody who paused all rollouts since the person looked', async () => {
    const freeze: Freeze = { by: 'eve', reason: 'holidays', at: 80, until: undefined };
    const { as, stored } = withRollout({ course: { state: 'PAUSED', pause: FAILED, since: 70 }, orders: { freeze } });
    expect(await as('operator', 'resume', { since: 70 })).toMatchObject({ status: 409, code: 'PAUSE_CHANGED', message: /eve.*holidays/ });
    expect(stored).toEqual([]);
    expect(await as('operator', 'resume', { since: 79 })).toMatchObject({ status: 409, code: 'PAUSE_CHANGED' });
    expect(await as('operator', 'resume', { since: 80 })).toMatchObject({ status: 200 });
    expect(stored).toEqual([{ unfreeze: freeze }]);
  });

  test('acknowledges all failures that there are, where the pause does not name them', async () => {
    const deadline = { cause: 'deadline', missing: 1, present: 0, eligible: 1, untried: [] } as const;
    for (const pause of [
      { ...deadline, failed: { failures: [], count: 30 } },
      { ...FAILED, count: 30 },
    ]) {
      const { as, stored } = withRollout({ course: { state: 'PAUSED', pause } });
      await as('operator', 'resume', {});
      expect(stored).toMatchObject([{ acknowledged: [{ host: 'ada', toplevel }] }]);
    }
  });

  test('at a deadline acknowledges what had failed by then, and names what failed since', async () => {
    const deadline = { cause: 'deadline', missing: 1, present: 0, eligible: 1, untried: [] } as const;
    const before = withRollout({ course: { state: 'PAUSED', pause: { ...deadline, failed: FAILED } } });
    await before.as('operator', 'resume', {});
    expect(before.stored).toMatchObject([{ acknowledged: [{ host: 'ada', toplevel }] }]);
    const since = withRollout({ course: { state: 'PAUSED', pause: deadline } });
    expect((await since.as('operator', 'resume', {})).body).toMatchObject({
      message: expect.stringMatching(/ada failed since it was paused/) as string,
    });
    expect(since.stored).toMatchObject([{ acknowledged: [] }]);
  });

  test('of what somebody else resumed in this moment says who, and of what goes on says so', async () => {
    const resume = { ...order, of: 7 };
    const { as, stored } = withRollout({ course: { state: 'PAUSED', pause: FAILED }, orders: { resume } });
    expect(await as('operator', 'resume', {})).toMatchObject({
      status: 200,
      body: { outcome: 'repeated', message: 'eve has resumed it already: looks good' },
    });
    const on = withRollout({ course: { state: 'ROLLING' }, orders: { resume } });
    expect(await on.as('operator', 'resume', {})).toMatchObject({ status: 409, code: 'NOT_PAUSED', message: /under way; eve resumed it last/ });
    const pause = { cause: 'freeze', by: 'eve', reason: 'holidays' } as const;
    const ended = withRollout({ course: { state: 'PAUSED', pause } });
    expect(await ended.as('operator', 'resume', {})).toMatchObject({ status: 409, code: 'NOT_PAUSED', message: /pause of eve has just ended/ });
    expect([...stored, ...on.stored, ...ended.stored]).toEqual([]);
  });
});

describe.each([
  ['abort', 'operator', /permanently.*revert/],
  ['hotfix', 'administrator', /passes over soaks and windows/],
] as const)('%s', (what, role, said) => {
  test('is judged again where the rollout moved meanwhile: what is told is so', async () => {
    const goesOn = withRollout({ course: { state: 'ROLLING' }, moves: [{ state: 'SOAKING' }] });
    expect(await goesOn.as(role, what, { commit: COMMIT })).toMatchObject({ status: 200 });
    expect([goesOn.stored.length, goesOn.audit.length]).toEqual([1, 1]);
    const ended = withRollout({ course: { state: 'SOAKING' }, moves: [{ state: 'COMPLETE' }] });
    expect(await ended.as(role, what, { commit: COMMIT })).toMatchObject({ status: 409, code: 'ROLLOUT_ENDED' });
    const restless = withRollout({ course: { state: 'ROLLING' }, moves: Array.from({ length: 100 }, () => ({})) });
    expect(await restless.as(role, what, { commit: COMMIT })).toMatchObject({ status: 409, code: 'ROLLOUT_MOVED' });
    expect([ended.stored, ended.audit, restless.stored, restless.audit]).toEqual([[], [], [], []]);
  });

  test('is stored, and says what comes of it', async () => {
    const { as, stored, audit } = withRollout({ course: { state: 'SOAKING' } });
    expect(await as(role, what, { commit: COMMIT })).toMatchObject({
      status: 200,
      body: { outcome: 'done', message: expect.stringMatching(said) as string },
    });
    expect(stored).toMatchObject([{ kind: what, by: `a-${role}` }]);
    expect(audit).toMatchObject([{ action: `${what}-rollout`, subject: COMMIT }]);
  });

  test('of another commit, twice, or of what is over changes nothing', async () => {
    const { as, stored } = withRollout({ orders: { [what]: order } });
    expect(await as(role, what, { commit: 'd'.repeat(40) })).toMatchObject({ status: 409, code: 'ROLLOUT_SUPERSEDED' });
    expect(await as(role, what, { commit: COMMIT })).toMatchObject({ status: 200, body: { outcome: 'repeated' } });
    const over = withRollout({ course: { state: 'COMPLETE' } });
    expect(await over.as(role, what, { commit: COMMIT })).toMatchObject({ status: 409, code: 'ROLLOUT_ENDED' });
    expect([...stored, ...over.stored]).toEqual([]);
  });
});

test('the plan is of the commit that hosts follow, for every viewer; of another commit there is none', async () => {
  const { ask } = withRollout({});
  const viewer = { authorization: `Bearer ${fakeTokenOf('viewer')}` };
  for (const query of ['', `?commit=${COMMIT.slice(0, 7)}`])
    expect(await ask('GET', `/api/rollout/plan${query}`, undefined, viewer)).toMatchObject({
      status: 200,
      body: {
        sha: COMMIT,
        state: 'WAITING_APPROVAL',
        waits: null,
        rings: [
          { name: 'canary', hosts: ['ada'], eligible: 1, connected: 1, missingApprovals: { count: 2 } },
          { name: 'all', isSkipped: true, beginsAt: null },
        ],
      },
    });
  expect((await ask('GET', '/api/rollout/plan?commit=HEAD')).status).toBe(400);
});

describe('a commit without a plan', () => {
  const asked = 'd'.repeat(7);
  const planOf = async (revisions: readonly Partial<Revision>[], repository: Partial<Repository> = {}) =>
    await withRollout({ revisions, repository }).ask('GET', `/api/rollout/plan?commit=${asked}`);
  const sha = `${asked}${'0'.repeat(33)}` as CommitSha;

  test('that Floe has not taken in, or that is of no branch, is refused with what Floe knows of', async () => {
    const unknown = await planOf([], { acceptedCommit: COMMIT as CommitSha, lastFetchAt: 0 });
    expect(unknown).toMatchObject({ status: 404, code: 'REVISION_UNKNOWN' });
    expect(unknown.message).toMatch(
      /^Floe has taken in no commit that starts with ddddddd: .*main.* last fetched 1970-01-01 00:00 UTC, and .* is cccccccccc\. .*another branch/,
    );
    expect((await planOf([])).message).toContain('was never fetched, and nothing was taken in yet');
    expect((await planOf([{ sha }, { sha: `${asked}${'1'.repeat(33)}` as CommitSha }])).code).toBe('REVISION_AMBIGUOUS');
  });

  test('that is held before it is taken in says why, and what ends that', async () => {
    const held = { commit: sha, reason: 'the branch was rewritten', since: 1 };
    expect(await planOf([], { held })).toMatchObject({
      status: 409,
      code: 'COMMIT_HELD',
      message: expect.stringMatching(/is held: the branch was rewritten\. .*floe accept d{7}0{33} --reason/) as string,
    });
  });

  test.each([
    [{ state: 'REJECTED', error: 'the policy: no such key\nmore' }, /^nobody gets ddddddd000: the policy: no such key; hosts follow cccccccccc/],
    [{ state: 'EVAL_FAILED' }, /^nobody gets/],
    [{ state: 'SUPERSEDED', supersededBy: COMMIT }, /^ddddddd000 was superseded by cccccccccc before it was published/],
    [{ state: 'PUBLISHED', supersededBy: COMMIT }, /its rollout is over; hosts follow/],
  ] as const)('that has ended says how: %j', async (ended, said) => {
    expect(await planOf([{ id: 'other', sha, ...ended } as Partial<Revision>])).toMatchObject({
      status: 409,
      code: 'NO_PLAN',
      message: expect.stringMatching(said) as string,
    });
  });
});

test('before the first rollout there is nothing to decide', async () => {
  const { as, ask } = withRollout(undefined);
  for (const [what, body] of [
    ['pause', { label: 'role=dns' }],
    ['resume', {}],
    ['resume', { label: 'role=dns' }],
    ['abort', { commit: COMMIT }],
    ['approve', { commit: COMMIT, ring: 'all' }],
    ['hotfix', { commit: COMMIT }],
  ] as const)
    expect(await as('administrator', what, body), what).toMatchObject({ status: 404, code: 'NO_ROLLOUT' });
  expect(await ask('GET', '/api/rollout')).toMatchObject({ status: 404, code: 'NO_ROLLOUT' });
  expect(await ask('GET', '/api/rollout/plan')).toMatchObject({ status: 404, code: 'NO_ROLLOUT' });
});

test('before the first rollout what comes can be paused, and that ended', async () => {
  const { as, stored, audit } = withRollout(undefined);
  const message = expect.stringMatching(/All rollouts are paused .* also those of commits to come/) as string;
  expect(await as('operator', 'pause', {})).toMatchObject({ status: 200, body: { outcome: 'done', message } });
  expect(stored).toMatchObject([{ by: 'a-operator', reason: 'why' }]);
  expect(audit).toMatchObject([{ action: 'pause-rollout', subject: 'main', detail: 'why' }]);
  const freeze = { by: 'eve', reason: 'rebuilt', at: 1, until: undefined };
  const later = withRollout(undefined, freeze);
  expect((await later.ask('GET', '/api/rollout')).body).toMatchObject({
    error: { code: 'NO_ROLLOUT', message: expect.stringMatching(/waits for the end of the pause of eve: rebuilt$/) as string },
  });
  expect(await later.as('operator', 'resume', {})).toMatchObject({
    status: 200,
    body: { message: expect.stringMatching(/^The pause of eve is over/) as string },
  });
  expect(later.stored).toEqual([{ unfreeze: freeze }]);
});

test('a hotfix that waits for the build of another commit ends that, also before the first rollout', async () => {
  const ended = ['d'.repeat(40) as CommitSha];
  for (const given of [{ ended }, { ended, course: { state: 'COMPLETE' } as const }]) {
    const { as, stored, audit } = withRollout(given);
    const asked = { commit: 'e'.repeat(40) };
    expect(await as('administrator', 'hotfix', asked)).toMatchObject({
      status: 200,
      body: { outcome: 'done', message: expect.stringMatching(/eeeeeee.* is evaluated and built at once.*ddddddd/) as string },
    });
    expect(stored).toEqual([{ woken: true }]);
    expect(audit).toMatchObject([{ action: 'hotfix-rollout', subject: asked.commit, detail: 'before what was built: why' }]);
    expect(await as('operator', 'hotfix', asked)).toMatchObject({ status: 403 });
    expect(stored).toHaveLength(1);
  }
});

test.each(['pause', 'resume', 'abort', 'approve', 'hotfix'])('%s without a reason, or with what it does not know, is refused', async (what) => {
  const { as, stored } = withRollout({});
  for (const body of [{ reason: '' }, { reason: 7 }, { by: 'eve' }, { until: -1 }, { commit: 'HEAD' }, { ring: '' }])
    expect((await as('administrator', what, body)).status, JSON.stringify(body)).toBe(400);
  expect(stored).toEqual([]);
});
