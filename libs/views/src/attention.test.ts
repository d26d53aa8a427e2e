import { HOST_ACTIONS, HOST_STANDINGS, needsAction, ROLES, type Role } from '@floe/model';
import { describe, expect, test } from 'vitest';
import { attentionOf, sameAttention, verdictOf } from './attention.ts';
import { fleetView, hostView, NOW, revisionView, SHA } from './fixtures.ts';
import { ringStateWords, todoOfRollout } from './rollout-words.ts';
import { shortTodoOf, todoOf } from './todo.ts';

const calm = { revision: revisionView({ rollout: null }) };
const many = (count: number, over: Parameters<typeof hostView>[1] = {}) => Array.from({ length: count }, (_, index) => hostView(`ws${index}`, over));

describe('the verdict', () => {
  test.each([
    [[], 'No hosts yet'],
    [many(1), 'The only host is fine'],
    [many(1_200), 'All 1,200 hosts are fine'],
    [[...many(2), hostView('a', { standing: 'away' })], 'Nothing needs you: 2 of 3 hosts in sync, 1 away'],
    [[...many(2), hostView('a', { standing: 'failed' })], '1 needs you: a failed'],
    [[...many(4, { standing: 'behind' }), hostView('a', { standing: 'rolled-back' })], '5 need you: ws0, ws1 and 2 more behind; a rolled back'],
    [[hostView('a', { trouble: { code: 'X', message: 'its row cannot be read', since: 1 }, problem: 'x' })], '1 needs you: a has a problem'],
  ] as const)('%#: %s', (hosts, text) => {
    expect(verdictOf(fleetView({ ...calm, hosts: [...hosts] }))).toMatchObject({
      text,
      isFine: !text.includes('you: ') || text.startsWith('Nothing'),
    });
  });

  test('of a host as which another agent knocks is to enrol it, though it is in sync', () => {
    const host = hostView('a', {
      isConnected: false,
      trouble: { code: 'HOST_KEY_UNKNOWN', message: 'an agent with another key', since: 1 },
      problem: 'x',
    });
    const fleet = fleetView({ ...calm, hosts: [host] });
    expect([verdictOf(fleet).text, attentionOf(fleet)[0]?.since, todoOf(host), shortTodoOf(host)]).toEqual([
      '1 needs you: a has a problem',
      1,
      'if it is the right machine, run: floe enrol a',
      expect.stringContaining('enrol'),
    ]);
  });

  test('says first what concerns all hosts', () => {
    const repository = { ...fleetView().repository, held: { commit: 'd'.repeat(40), reason: 'the branch was rewritten', since: NOW } };
    const revision = revisionView({ state: 'EVAL_FAILED', error: 'flake.nix: syntax error', rollout: null });
    const { text } = verdictOf(fleetView({ repository, revision, hosts: [hostView('a', { standing: 'behind' })] }));
    expect(text).toBe('3 need you: commit dddddddddd is held; commit 3f9c2ab1d0 does not evaluate; a behind');
  });
});

test('a commit with far fewer hosts and a rewritten branch are held alike, each with its own way out', () => {
  const told = (commit: string) =>
    attentionOf(fleetView({ ...calm, repository: { ...fleetView().repository, held: { commit, reason: 'why', since: NOW } } }))[0];
  expect(told(SHA)?.todo).toBe(`push a commit that has the hosts again, or run: floe accept ${SHA} --reason "…"`);
  expect(told('d'.repeat(40))).toMatchObject({
    message: 'commit dddddddddd is held: why',
    todo: `push a commit that follows the accepted one, or run: floe accept ${'d'.repeat(40)} --reason "…"`,
  });
});

const COUNTS = { eligible: 1, verified: 0, failed: 0, acknowledged: 0, inFlight: 0, waiting: 0, toCome: 1, away: 0 };
/** A ring that was begun and waits for nothing. */
const RING = {
  name: 'canary',
  state: 'current' as const,
  missingApprovals: null,
  counts: COUNTS,
  needed: 1,
  building: 0,
  evaluating: 0,
  downloaded: 0,
  untried: null,
  soakMs: 0,
  soakUntil: null,
  deadlineAt: null,
  opensAt: null,
  probes: [],
};

test.each([
  ['PAUSED', 'the rollout of commit 3f9c2ab1d0 is paused', 'run: floe rollout resume --reason "…"'],
  ['WAITING_APPROVAL', 'the rollout of commit 3f9c2ab1d0 waits for approval', 'look at what it changes, and run: floe rollout approve --reason "…"'],
  ['ROLLING', undefined, undefined],
  ['SOAKING', undefined, undefined],
  ['READY', undefined, undefined],
] as const)('a rollout that is %s needs a person exactly when it does not go on by itself', (state, words, todo) => {
  const { rollout } = revisionView();
  if (rollout === null) throw new Error('the fixture has a rollout');
  const missingApprovals = { count: 1, role: 'approver' as const, notAuthor: false, weaker: [], notAsked: [] };
  const rings = [{ ...RING, missingApprovals: state === 'WAITING_APPROVAL' ? missingApprovals : null }];
  const [item] = attentionOf(fleetView({ revision: revisionView({ rollout: { ...rollout, state, rings } }) }));
  expect([item?.words, item?.todo]).toEqual([words, todo]);
  for (const role of ROLES) expect(todoOfRollout(SHA, { state, pause: null, freeze: null, rings }, role) === null, role).toBe(words === undefined);
  // Where nobody's approval is missing it begins with the next look.
  const [early] = attentionOf(fleetView({ revision: revisionView({ rollout: { ...rollout, state, rings: [RING] } }) }));
  if (state !== 'PAUSED') expect([early, ringStateWords(RING, { state })]).toEqual([undefined, expect.not.stringContaining('approval')]);
});

test.each([
  ['failures', true],
  ['probe', true],
  ['deadline', false],
  ['after-ring', false],
] as const)('of a pause by %s, whether the commit may be at fault is said before a resume', (cause, mayBeTheCommit) => {
  const pause = { cause, description: '', failures: [], later: [], since: 1 };
  const todo = todoOfRollout(SHA, { state: 'PAUSED', pause, freeze: null, rings: [] }, 'operator') ?? '';
  expect(todo.startsWith('push a fix')).toBe(mayBeTheCommit);
  expect(todo.includes('floe rollout abort')).toBe(mayBeTheCommit);
  expect(todo).toContain('floe rollout resume --seen=1 ');
  // Of two pauses the person's ends first.
  const freeze = { by: 'eve', reason: 'holidays', at: 2, until: null };
  expect(todoOfRollout(SHA, { state: 'PAUSED', pause, freeze, rings: [] }, 'operator')).toContain('floe rollout resume --seen=2 ');
});

test('of the hosts that failed, a retry is offered of those of which the server would take it', () => {
  const retryIn = (...failed: readonly (readonly [string, boolean?])[]): string | undefined => {
    const failures = failed.map(([host, mayRetry]) => ({ host: host as never, reason: '', log: null, mayRetry }));
    const pause = { cause: 'failures' as const, description: '', failures, later: [], since: 1 };
    return /floe retry \S+/.exec(todoOfRollout(SHA, { state: 'PAUSED', pause, freeze: null, rings: [] }) ?? '')?.[0];
  };
  expect(retryIn(['gone', false], ['of-an-older-server'])).toBeUndefined();
  expect(retryIn(['gone', false], ['ws1', true])).toBe('floe retry ws1');
  expect(retryIn(['ws1', true], ['ws2', true])).toBe('floe retry HOST');
});

test('a host that rolled back a stepping stone is not told to wait for a fix, which would not reach it', () => {
  for (const standing of ['rolled-back', 'failed', 'behind'] as const) {
    const host = hostView('ws1', { standing, actions: ['retry'], stone: 'agent-2' });
    expect(todoOf(host)).toBe('run: floe retry ws1 --reason "…", or pin it to a newer commit, or take agent-2 out of steppingStones');
    expect(shortTodoOf(host)).toBe('retry, pin');
    expect(todoOf({ ...host, stone: null })).toContain('push a fix');
  }
});

test('whoever needs a person is told what to do, and hosts with one trouble are told together', () => {
  for (const standing of HOST_STANDINGS.filter(needsAction)) {
    const host = hostView('ws1', { standing, actions: [...HOST_ACTIONS] });
    expect(todoOf(host), standing).not.toBeNull();
    expect(shortTodoOf(host), standing).not.toBe('');
  }
  const hosts = many(3, { standing: 'rolled-back', problem: 'no printer', actions: ['retry', 'revoke'] });
  expect(sameAttention(attentionOf(fleetView({ ...calm, hosts })))).toMatchObject([
    { subjects: ['ws0', 'ws1', 'ws2'], message: 'no printer', todo: 'push a fix, or run: floe retry HOST --reason "…"' },
  ]);
});

test('whoever is asked to approve may: an administrator where the policy became weaker', () => {
  const todo = (role: Role, missing: { readonly role: Role; readonly weaker: string[] }): string | null =>
    todoOfRollout(
      SHA,
      {
        state: 'WAITING_APPROVAL',
        pause: null,
        freeze: null,
        rings: [{ ...RING, missingApprovals: { count: 1, notAuthor: false, notAsked: [], ...missing } }],
      },
      role,
    );
  for (const role of ROLES)
    for (const needed of ['approver', 'administrator'] as const)
      for (const weaker of [[], ['ring canary: pauses later']]) {
        const lowest = weaker.length > 0 ? 'administrator' : needed;
        const isAsked = todo(role, { role: needed, weaker })?.includes('floe rollout approve') === true;
        expect(isAsked, `${role} ${needed} ${weaker.length}`).toBe(ROLES.indexOf(role) >= ROLES.indexOf(lowest));
        if (!isAsked) expect(todo(role, { role: needed, weaker })).toBe(`ask an ${lowest} to approve it`);
      }
});

test('what the server and the repository say has its code, by which the docs name it', () => {
  const [one, two] = ['DEFAULT_BRANCH_MOVED', 'REPOSITORY_UNAUTHORIZED'].map((code) => ({ code, message: 'so it is', since: NOW }));
  const repository = { ...fleetView().repository, notices: [one!], problem: two! };
  expect(attentionOf(fleetView({ ...calm, repository })).map(({ subject, code }) => [subject, code])).toEqual([
    ['server', 'DEFAULT_BRANCH_MOVED'],
    ['repository', 'REPOSITORY_UNAUTHORIZED'],
  ]);
});

test('a host that needs somebody has the code of what its agent failed with, or of what the server has against it', () => {
  const [known] = fleetView().hosts;
  if (known === undefined) throw new Error('the fleet has a host');
  const detail = { code: 'BOOT_DISK_FULL', message: 'no room' };
  const trouble = { code: 'HOST_KEY_UNKNOWN', message: 'another key knocks', since: NOW };
  const codeWith = (more: Partial<typeof known>): string | undefined =>
    attentionOf(fleetView({ hosts: [{ ...known, detail, trouble: null, ...more }] })).find(({ kind }) => kind === 'host')?.code;
  expect(codeWith({ standing: 'failed' })).toBe('BOOT_DISK_FULL');
  expect(codeWith({ standing: 'rolled-back', trouble })).toBe('BOOT_DISK_FULL');
  expect(codeWith({ standing: 'in-sync', trouble })).toBe('HOST_KEY_UNKNOWN');
  // What its agent said last is no word about its commit.
  expect(codeWith({ standing: 'behind' })).toBeUndefined();
});
