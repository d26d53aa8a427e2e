import {
  decide,
  AGENT_STATES,
  emptyJournal,
  type AgentEvent,
  type AgentDetail,
  type AgentJournal,
  type AgentState,
  type HostName,
  type WaitFacts,
} from '@floe/model';
import { AgentPolicy } from '@floe/protocol';
import fc from 'fast-check';
import * as v from 'valibot';
import { expect, test } from 'vitest';
import { noticeOf } from './notice.ts';
import { createUserRequests } from './user-requests.ts';
import { ManualClock } from '../test/manual-clock.ts';
import { FakeMachine } from '../test/fake-machine.ts';
import { directiveWith, storePath } from '../test/fixtures.ts';
import { ENGLISH } from '../text/words/languages.ts';
import type { Notice } from './protocol.ts';

const OLD = storePath('old');
const NEW = storePath('new');
const NOW = 1_000_000;
const TIME = { now: NOW, timeZone: 'Europe/Berlin', language: ENGLISH };

function setUp(changes: Partial<AgentJournal> = {}, policy: object = {}) {
  const machine = new FakeMachine();
  machine.observed = { current: NEW, booted: NEW, profile: { generation: 2, toplevel: NEW } };
  machine.valid.add(OLD);
  const asked: AgentEvent[] = [];
  const listeners = new Set<() => void>();
  const agent = {
    journal: { ...emptyJournal(NOW), directive: directiveWith(NEW), epoch: 3, ...changes } as AgentJournal,
    now: () => NOW,
    connection: { isConnected: true, since: 5, refusal: null },
    stranger: async () => await Promise.resolve(null),
    ask: async (event: AgentEvent) => {
      asked.push(event);
      return await Promise.resolve(true);
    },
    onStep: (listener: () => void) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
  const clock = new ManualClock();
  const requests = createUserRequests({
    agent,
    machine,
    running: async () => await Promise.resolve(null),
    host: 'ada' as HostName,
    serverUrl: 'https://floe.example',
    agentVersion: '1',
    readPolicy: async () => {
      set.onPolicy();
      return await Promise.resolve(v.parse(AgentPolicy, policy));
    },
    closureChanges: async () =>
      await Promise.resolve({ packages: [], addedCount: 0, removedCount: 0, rebuiltCount: 1, sizeBeforeBytes: 1, sizeAfterBytes: 2 }),
    clock,
    timeZone: () => 'Europe/Berlin',
    language: ENGLISH,
  });
  const set = { requests, clock, agent, asked, machine, onPolicy: (): unknown => undefined, step: () => listeners.forEach((listener) => listener()) };
  return set;
}

const deferral = { since: NOW, restartSince: null, laterCount: 0, laterUntil: null, isOverruled: false };

test('a rollback in a trial leads to the system before it, also where the agent knows no earlier one', async () => {
  const trial = { endsAt: NOW + 1, endsAtUptimeMs: 1, bootId: 'boot' };
  const before = { toplevel: OLD, profile: OLD, failedUnits: null, serverUrl: null, cache: null };
  const { requests, asked } = setUp({ state: 'TRYING', directive: { ...directiveWith(NEW), trial }, before, verdict: 'passed' });
  expect(await requests.status()).toMatchObject({ trial: { endsAt: NOW + 1 } });
  expect(await requests.rollback()).toEqual({ kind: 'ok', toplevel: OLD });
  expect(asked).toEqual([{ type: 'rollback-asked', target: OLD }]);
  // Not begun yet: it keeps what it has.
  const waiting = setUp({ state: 'DEFERRED', directive: { ...directiveWith(OLD), trial } });
  expect(await waiting.requests.rollback()).toEqual({ kind: 'ok', toplevel: NEW });
});

test('"later" is granted within the policy, and no more often than it allows', async () => {
  const { requests, asked } = setUp({ state: 'DEFERRED', deferral }, { later: { maxCount: 1, maxMinutes: 60 } });
  expect(await requests.later(600)).toMatchObject({ kind: 'ok', until: NOW + 60 * 60_000 });
  expect(asked).toMatchObject([{ type: 'deferral-changed', deferral: { laterCount: 1, laterUntil: NOW + 60 * 60_000 } }]);
  const used = setUp({ state: 'DEFERRED', deferral: { ...deferral, laterCount: 1 } }, { later: { maxCount: 1 } });
  expect(await used.requests.later(10)).toMatchObject({ kind: 'refused', code: 'LATER_USED_UP' });
  expect(await setUp({ state: 'SUCCEEDED' }).requests.later(10)).toMatchObject({ kind: 'refused', code: 'NOTHING_WAITS' });
});

test('what an administrator asks for cannot be deferred, only begun earlier; users are told by whom and why', async () => {
  const urgent = { level: 'soon', by: 'ada', reason: 'a hole in sshd', until: NOW + 1, noticedAt: NOW } as const;
  const waiting = {
    state: 'DEFERRED',
    deferral,
    directive: { ...directiveWith(NEW), urgent },
    detail: { code: 'ADMINISTRATOR_ASKS', message: 'x' },
  } as const;
  const { requests, asked, agent } = setUp(waiting);
  expect(await requests.later(10)).toEqual({
    kind: 'refused',
    code: 'ADMINISTRATOR_ASKS',
    message: 'it cannot be deferred: your administrator asks for this update now (ada: a hole in sshd)',
  });
  expect(await requests.status()).toMatchObject({ urgent: { level: 'soon', by: 'ada', until: NOW + 1 }, laterLeft: 0 });
  expect(noticeOf(agent.journal, TIME)).toMatchObject({ title: 'Your administrator asks for this update now', actions: ['now'] });
  expect(noticeOf({ ...agent.journal, state: 'ACTIVATING' }, TIME)).toMatchObject({ body: 'It begins. (ada: a hole in sshd)', actions: [] });
  expect(await requests.now()).toMatchObject({ kind: 'ok' });
  expect(asked).toHaveLength(1);
  const over = setUp({ ...waiting, directive: { ...directiveWith(NEW), urgent: { ...urgent, until: NOW } } });
  expect(await over.requests.later(10)).toMatchObject({ kind: 'ok' });
});

test('"now" overrules what it waits for', async () => {
  const { requests, asked } = setUp({ state: 'BOOT_STAGED', deferral });
  expect(await requests.now()).toEqual({ kind: 'ok', toplevel: NEW });
  expect(asked).toMatchObject([{ deferral: { isOverruled: true } }]);
});

/** An agent whose state machine goes on at the last moment: between what a person is told by, and what they asked for. */
function overtaken(by: AgentEvent, changes: Partial<AgentJournal>) {
  const set = setUp(changes);
  set.agent.ask = async (event) => {
    set.agent.journal = decide(set.agent.journal, by, NOW).journal;
    const step = decide(set.agent.journal, event, NOW);
    const isTaken = step.journal !== set.agent.journal || step.effects.length > 0;
    set.agent.journal = step.journal;
    return await Promise.resolve(isTaken);
  };
  return set;
}

test('"later" is offered only where it is granted', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom('STAGED' as const, 'DEFERRED' as const, 'BOOT_STAGED' as const),
      fc.record({ maxCount: fc.nat(3), maxMinutes: fc.constantFrom(0, 60) }),
      fc.option(fc.integer({ min: 1, max: 3 }), { nil: null }),
      fc.nat(3),
      fc.integer({ min: -5, max: 5 }).map((hours) => NOW + hours * 3_600_000),
      async (state, later, deadlineHours, laterCount, since) => {
        const waits = { since, laterCount, laterUntil: null, isOverruled: false };
        const set = setUp({ state, since, deferral: waits } as Partial<AgentJournal>, { later, deadlineHours, reboot: { deadlineHours } });
        const { laterLeft } = await set.requests.status();
        expect((await set.requests.later(10)).kind).toBe(laterLeft > 0 ? 'ok' : 'refused');
      },
    ),
  );
});

test('what came too late is not said to be granted', async () => {
  const go: AgentEvent = { type: 'go', epoch: 3 };
  const staged = { state: 'STAGED', deferral } as const;
  expect(await overtaken(go, staged).requests.later(60)).toMatchObject({ kind: 'refused', code: 'TOO_LATE' });
  expect(await overtaken(go, staged).requests.now()).toMatchObject({ kind: 'refused', code: 'TOO_LATE' });
  const going = overtaken(go, { ...staged, previous: OLD });
  going.machine.observed = { ...going.machine.observed, current: storePath('third') };
  expect(await going.requests.rollback()).toMatchObject({ kind: 'refused', code: 'BUSY' });
  const override = { toplevel: OLD, since: 1, by: 'rollback' } as const;
  const offered: AgentEvent = { type: 'offered', directive: { ...directiveWith(OLD), epoch: 4, isRetry: true }, freshness: null };
  expect(await overtaken(offered, { state: 'IDLE', override }).requests.resume()).toMatchObject({ kind: 'refused', code: 'NOT_OVERRIDDEN' });
});

test('a choice is not said to be over when there is nothing to go on to', async () => {
  const { requests, agent } = overtaken({ type: 'drifted' }, { directive: null, override: { toplevel: OLD, since: 1, by: 'switch' } });
  expect(await requests.resume()).toMatchObject({ kind: 'refused', code: 'NOTHING_DESIRED' });
  expect(agent.journal.override).not.toBeNull();
});

test('"later" is for the system that waits when it is granted, not for one that it waited for while the policy was read', async () => {
  const set = setUp({ state: 'STAGED', deferral });
  set.onPolicy = () => (set.agent.journal = decide(set.agent.journal, { type: 'go', epoch: 3 }, NOW).journal);
  expect(await set.requests.later(60)).toMatchObject({ kind: 'refused', code: 'NOTHING_WAITS' });
  expect(set.asked).toEqual([]);
});

test('going back needs a system to go back to, that is still there, and a machine that is not being changed', async () => {
  const { requests, asked } = setUp({ state: 'SUCCEEDED', previous: OLD });
  expect(await requests.rollback()).toEqual({ kind: 'ok', toplevel: OLD });
  expect(asked).toEqual([{ type: 'rollback-asked', target: OLD }]);
  expect(await setUp({ state: 'SUCCEEDED' }).requests.rollback()).toMatchObject({ code: 'NO_PREVIOUS_SYSTEM' });
  expect(await setUp({ state: 'VERIFYING', previous: OLD }).requests.rollback()).toMatchObject({ code: 'BUSY' });
  expect(await setUp({ state: 'SUCCEEDED', previous: NEW }).requests.rollback()).toMatchObject({ code: 'ALREADY_BACK' });
  expect(await setUp({ state: 'SUCCEEDED', previous: storePath('gone') }).requests.rollback()).toMatchObject({ code: 'PREVIOUS_SYSTEM_GONE' });
});

test('only a choice can be ended', async () => {
  expect(await setUp({ state: 'SUCCEEDED' }).requests.resume()).toMatchObject({ code: 'NOT_OVERRIDDEN' });
  const { requests, asked } = setUp({ state: 'IDLE', override: { toplevel: OLD, since: 1, by: 'rollback' } });
  expect(await requests.resume()).toMatchObject({ kind: 'ok' });
  expect(asked).toEqual([{ type: 'resumed' }]);
});

test('changes are those that wait, or the last ones', async () => {
  const signal = new AbortController().signal;
  const next = setUp({ state: 'DEFERRED', deferral });
  next.machine.observed = { ...next.machine.observed, current: OLD };
  expect(await next.requests.changes(signal)).toMatchObject({ kind: 'ok', subject: 'next', before: OLD, after: NEW, rebuiltCount: 1 });
  expect(await setUp({ state: 'SUCCEEDED', previous: OLD }).requests.changes(signal)).toMatchObject({ subject: 'last', before: OLD, after: NEW });
});

const waitOf = (code: string, startsAt: number | null = null) => ({
  code,
  message: `waits for /nix/store/x (${code})`,
  wait: { what: 'switch' as const, codes: [code], startsAt, latestAt: null, programs: [] },
});

test('a notice is told at once, and again only when it says something else', () => {
  const { requests, agent, step } = setUp({ state: 'DEFERRED', detail: waitOf('ON_BATTERY') });
  const told: (Notice | null)[] = [];
  const end = requests.notices((notice) => void told.push(notice));
  step();
  // More for administrators only.
  agent.journal = { ...agent.journal, detail: { ...waitOf('ON_BATTERY'), message: 'waits: on battery, once more' } };
  step();
  agent.journal = { ...agent.journal, detail: waitOf('LATER', NOW) };
  step();
  agent.journal = { ...agent.journal, state: 'PRECHECK', detail: null };
  step();
  end();
  const battery = 'Your computer will update when it is plugged in or charged enough.';
  expect(told.map((notice) => notice?.body ?? null)).toEqual([battery, 'Your computer will update soon.', null]);
});

const wait = (changes: Partial<WaitFacts> = {}): AgentDetail => {
  const detail = waitOf('LATER', NOW + 3600_000);
  return { ...detail, wait: { ...detail.wait, ...changes } };
};

test('"later" is offered only while there is one', () => {
  const actions = (state: AgentState, changes: Partial<WaitFacts>) =>
    noticeOf({ ...emptyJournal(NOW), state, directive: directiveWith(NEW), deferral, detail: wait(changes) }, TIME)?.actions;
  for (const state of ['DEFERRED', 'BOOT_STAGED'] as const) {
    expect(actions(state, { laterLeft: 1 })).toEqual(['later', 'now']);
    expect(actions(state, { laterLeft: 0 })).toEqual(['now']);
    // An agent from before wrote the journal.
    expect(actions(state, {})).toEqual(['later', 'now']);
  }
  // It has begun, or nobody can put it off by that.
  const staged = (code: string) =>
    noticeOf({ ...emptyJournal(NOW), state: 'BOOT_STAGED', directive: directiveWith(NEW), deferral, detail: { code, message: '' } }, TIME);
  expect(staged('RESTARTING')).toMatchObject({ body: 'Your computer restarts now, to be updated.', actions: [] });
  expect(staged('REBOOT_FAILED')?.actions).toEqual(['now']);
  // It waits for a network, and not for users.
  expect(actions('DEFERRED', { what: 'download', codes: ['METERED'], startsAt: null, laterLeft: 3 })).toEqual(['now']);
});

test('what was put off says its new time once, without buttons, and asks again shortly before', async () => {
  const set = setUp({ state: 'DEFERRED', deferral, detail: wait({ codes: ['WINDOW_CLOSED'], startsAt: NOW + 60_000 }) });
  const told: (Notice | null)[] = [];
  const end = set.requests.notices((notice) => void told.push(notice));
  const at = NOW + 3600_000;
  set.agent.journal = { ...set.agent.journal, deferral: { ...deferral, laterCount: 1, laterUntil: at }, detail: wait({ laterLeft: 2 }) };
  set.step();
  set.agent.journal = { ...set.agent.journal, detail: wait({ laterLeft: 2, codes: ['LATER', 'ON_BATTERY'] }) };
  set.step();
  expect(told.map((notice) => [notice?.title, notice?.actions])).toEqual([
    ['An update is ready', ['later', 'now']],
    ['The update was put off', []],
  ]);
  expect(told[1]?.body).toBe('Your computer will update today at 02:16.');
  set.agent.now = () => at - 5 * 60_000;
  // Nothing happens but time.
  await set.clock.passed(60_000);
  expect(told.slice(2)).toMatchObject([{ title: 'An update is ready', actions: ['later', 'now'] }]);
  end();
  await set.clock.idle();
});

test('going back says that it is done', () => {
  const journal: AgentJournal = { ...emptyJournal(NOW), state: 'SUCCEEDED', directive: directiveWith(NEW), previous: OLD };
  const asked = decide(journal, { type: 'rollback-asked', target: OLD }, NOW).journal;
  expect(noticeOf(asked, TIME)).toMatchObject({ title: 'Your computer goes back', actions: [] });
  const back = decide(asked, { type: 'rolled-back', epoch: asked.directive?.epoch ?? 0, detail: null } as unknown as AgentEvent, NOW).journal;
  expect(noticeOf(back, TIME)).toMatchObject({ kind: 'switched', title: 'Your computer went back', actions: [] });
  expect(noticeOf(back, { ...TIME, now: NOW + 2 * 3600_000 })).toBeNull();
});

test('a notice has the time of the machine, and stays the same from one day to the next', () => {
  const at = Date.UTC(2026, 2, 1, 21);
  const journal: AgentJournal = { ...emptyJournal(at), state: 'DEFERRED', directive: directiveWith(NEW), detail: waitOf('WINDOW_CLOSED', at) };
  const [before, on] = [at - 30 * 3600_000, at - 3600_000].map((now) => noticeOf(journal, { ...TIME, now }));
  expect([before?.body, on?.body]).toEqual(['Your computer will update tomorrow at 22:00.', 'Your computer will update tonight at 22:00.']);
  expect(before?.id).toBe(on?.id);
});

test('no notice has a store path or a code, whatever the state', () => {
  for (const state of AGENT_STATES) {
    const detail = { code: 'SOME_CODE', message: 'failed at /nix/store/x: UNITS_FAILED' };
    for (const each of [detail, { ...detail, wait: waitOf('WINDOW_CLOSED', NOW).wait }, null]) {
      const notice = noticeOf({ ...emptyJournal(NOW), state, directive: directiveWith(NEW), detail: each }, TIME);
      expect(`${notice?.title} ${notice?.body}`).not.toMatch(/\/nix|[A-Z]{2,}_/);
    }
  }
});

test('what happened long ago is no news', () => {
  const journal: AgentJournal = { ...emptyJournal(NOW), state: 'ROLLED_BACK', since: NOW, detail: { code: 'X', message: 'because' } };
  expect(noticeOf(journal, { ...TIME, now: NOW + 1 })).toMatchObject({ kind: 'put-back', title: 'An update did not work' });
  expect(noticeOf(journal, { ...TIME, now: NOW + 2 * 3600_000 })).toBeNull();
});
