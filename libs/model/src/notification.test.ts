import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { CommitSha, HostName, StorePath } from './brands.ts';
import { eventsOf, MAX_MESSAGES_PER_HOUR, planSending, recentMessages, type NotificationFacts } from './notification.ts';
import { REVISION_STATES } from './revision-state.ts';
import { ROLLOUT_STATES } from './rollout-state.ts';

const SHA = 'a'.repeat(40) as CommitSha;
const HOST = 'ada' as HostName;
const TOPLEVEL = `/nix/store/${'b'.repeat(32)}-nixos` as StorePath;
const NOTHING: NotificationFacts = { revisions: [], rollouts: [], hosts: [] };
const HOUR_MS = 3_600_000;

describe('what is told', () => {
  test('of the server itself: each problem once a day, however often it comes, but not those of telling', () => {
    const DAY_MS = 24 * HOUR_MS;
    const code = fc.constantFrom('DISK_FULL', 'CACHE_TOO_LARGE', 'CLOCK_AHEAD', 'NOTIFY_OPS', 'DATABASE_REFUSES');
    fc.assert(
      fc.property(fc.array(fc.record({ code, message: fc.string(), since: fc.nat(3 * DAY_MS) })), (notices) => {
        const keys = new Set(notices.flatMap((notice) => eventsOf({ ...NOTHING, notices: [notice] }).map(({ key }) => key)));
        const told = notices.filter((notice) => !['NOTIFY_OPS', 'DATABASE_REFUSES'].includes(notice.code));
        expect(keys.size).toBe(new Set(told.map((notice) => `${notice.code} ${Math.floor(notice.since / DAY_MS)}`)).size);
        for (const { kind, subject, reason } of eventsOf({ ...NOTHING, notices }))
          expect(notices).toContainEqual(expect.objectContaining({ code: kind === 'server-problem' ? subject : '', message: reason }));
      }),
    );
  });

  test('of an agent that asks to be a host at most once a day, as often as it goes and comes, and the server is restarted', () => {
    const DAY_MS = 24 * HOUR_MS;
    fc.assert(
      fc.property(fc.array(fc.nat(3 * DAY_MS)), (times) => {
        const refused = times.map((since) => ({ host: HOST, rollbacks: [], refused: { since, reason: 'another key' } }));
        const keys = refused.flatMap((each) => eventsOf({ ...NOTHING, hosts: [each] }).map(({ key }) => key));
        expect(new Set(keys).size).toBe(new Set(times.map((since) => Math.floor(since / DAY_MS))).size);
      }),
    );
  });

  test.each(REVISION_STATES)('of a revision that is %s', (state) => {
    const revision = { id: 'r', sha: SHA, subject: 'words', state, reason: 'why', since: 5 };
    const isFailed = ['REJECTED', 'EVAL_FAILED', 'BUILD_FAILED'].includes(state);
    expect(eventsOf({ ...NOTHING, revisions: [revision] }).map(({ kind }) => kind)).toEqual(isFailed ? ['commit-failed'] : []);
  });

  test.each(ROLLOUT_STATES)('of a rollout that is %s', (state) => {
    const rollout = { id: 'r', sha: SHA, subject: 'words', state, reason: 'why', since: 5 };
    const kinds: Partial<Record<string, string>> = { PAUSED: 'rollout-paused', COMPLETE: 'rollout-complete' };
    expect(eventsOf({ ...NOTHING, rollouts: [rollout] }).map(({ kind }) => kind)).toEqual([kinds[state]].filter((kind) => kind !== undefined));
  });

  test('each pause of a rollout, and its end once', () => {
    const rollout = { id: 'r', sha: SHA, subject: '', reason: '' };
    const key = (state: 'PAUSED' | 'COMPLETE', since: number) => eventsOf({ ...NOTHING, rollouts: [{ ...rollout, state, since }] })[0]?.key;
    expect(key('PAUSED', 1)).not.toBe(key('PAUSED', 2));
    expect(key('COMPLETE', 1)).toBe(key('COMPLETE', 2));
  });

  test('a ring that waits for approvals, each time that it does, and a hotfix once', () => {
    const rollout = { id: 'r', sha: SHA, subject: '', reason: '', waits: { ring: 1, missing: '1 more approval' } };
    const told = (state: (typeof ROLLOUT_STATES)[number], since: number, hotfix?: { at: number; reason: string }) =>
      eventsOf({ ...NOTHING, rollouts: [{ ...rollout, state, since, hotfix }] }).map(({ kind, key }) => (kind === 'rollout-hotfix' ? kind : key));
    expect(told('WAITING_APPROVAL', 1)).toEqual(['rollout-waits:r:1:1']);
    expect(told('WAITING_APPROVAL', 2)).toEqual(['rollout-waits:r:1:2']);
    expect(told('ROLLING', 2)).toEqual([]);
    for (const state of ROLLOUT_STATES) expect(told(state, 3, { at: 3, reason: 'ada: a hole' })).toContain('rollout-hotfix');
  });

  test('each rollback of a host, and a failure that it did not recover from', () => {
    const rollbacks = [
      { toplevel: TOPLEVEL, reason: 'the check web', at: 1 },
      { toplevel: TOPLEVEL, reason: 'the check web', at: 2 },
    ];
    const events = eventsOf({ ...NOTHING, hosts: [{ host: HOST, rollbacks, failed: { about: 'hash', since: 3, reason: 'refused' } }] });
    expect(events.map(({ kind }) => kind)).toEqual(['host-rolled-back', 'host-rolled-back', 'host-failed']);
    expect(new Set(events.map(({ key }) => key)).size).toBe(3);
  });

  test('a held commit, each time that it is held', () => {
    const key = (since: number) => eventsOf({ ...NOTHING, held: { commit: SHA, reason: 'a force-push', since } })[0]?.key;
    expect(key(1)).toMatch(/^commit-held:/);
    expect(key(1)).not.toBe(key(2));
  });

  test('keys are ASCII, and fit into a header', () => {
    const events = eventsOf({
      held: { commit: SHA, reason: '\r\nx: y', since: 1 },
      revisions: [{ id: 'r', sha: SHA, subject: '\n', state: 'REJECTED', reason: 'ü\n', since: 1 }],
      rollouts: [{ id: 'r', sha: SHA, subject: '\n', state: 'PAUSED', reason: '\n', since: 1 }],
      hosts: [{ host: HOST, rollbacks: [{ toplevel: TOPLEVEL, reason: '\n', at: 1 }], failed: { about: 'hash', since: 1, reason: '\n' } }],
    });
    expect(events).toHaveLength(5);
    for (const { key } of events) expect(key).toMatch(/^[\w:.-]{1,200}$/);
  });
});

describe('a flood', () => {
  /** Plays arrivals against the plan, and returns when messages were sent, and with how many events. */
  function play(arrivals: readonly number[], stepMs: number): { readonly at: number; readonly events: number }[] {
    const sent: { at: number; events: number }[] = [];
    const end = (arrivals.at(-1) ?? 0) + 30 * HOUR_MS;
    let arrived = 0;
    let waiting = 0;
    for (let now = 0; now <= end; now += stepMs) {
      for (; (arrivals[arrived] ?? Infinity) <= now; arrived += 1) waiting += 1;
      const plan = planSending({ recent: sent.map(({ at }) => at), waiting, now });
      if (plan.kind === 'wait') expect(plan.until).toBeGreaterThan(now);
      if (plan.kind !== 'one' && plan.kind !== 'summary') continue;
      const events = plan.kind === 'one' ? 1 : waiting;
      sent.push({ at: now, events });
      waiting -= events;
    }
    return sent;
  }

  test('never sends more than the limit in any hour, loses nothing, and makes nobody wait longer than an hour', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 3 * HOUR_MS }), { maxLength: 150 }), (times) => {
        const arrivals = times.toSorted((left, right) => left - right);
        const sent = play(arrivals, 60_000);
        expect(sent.reduce((sum, { events }) => sum + events, 0)).toBe(arrivals.length);
        let told = 0;
        for (const { at, events } of sent) {
          expect(sent.filter((other) => other.at > at - HOUR_MS && other.at <= at).length).toBeLessThanOrEqual(MAX_MESSAGES_PER_HOUR);
          expect(at - (arrivals[told] ?? 0)).toBeLessThanOrEqual(HOUR_MS + MAX_MESSAGES_PER_HOUR * 60_000);
          told += events;
        }
      }),
      { numRuns: 40 },
    );
  });

  test('of a thousand at once is told in as many messages as the limit allows', () => {
    const sent = play(
      Array.from({ length: 1000 }, () => 0),
      1_000,
    );
    expect(sent).toHaveLength(MAX_MESSAGES_PER_HOUR);
    expect(sent.at(-1)?.events).toBe(1000 - MAX_MESSAGES_PER_HOUR + 1);
  });

  test('a clock that was set back does not stop the messages', () => {
    const recent = Array.from({ length: 50 }, (_, n) => 100 * HOUR_MS + n);
    expect(planSending({ recent, waiting: 1, now: HOUR_MS })).toEqual({ kind: 'one' });
    expect(recentMessages(recent, HOUR_MS)).toEqual([]);
  });
});
