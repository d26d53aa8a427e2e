import { decide, type AgentJournal, type Observed } from '@floe/model';
import { AgentPolicy, DEFAULT_AGENT_POLICY } from '@floe/protocol';
import * as v from 'valibot';
import { expect, test } from 'vitest';
import { isAsLeft, judgeDrift } from './drift.ts';
import { directiveWith, journalWith, reportWith, storePath } from '../test/fixtures.ts';

const WANTED = storePath('wanted');
const OTHER = storePath('other');
const has = (current: typeof WANTED, more: Partial<Observed> = {}): Observed => ({
  current,
  booted: WANTED,
  profile: { generation: 2, toplevel: WANTED },
  ...more,
});
const done = (changes: Partial<AgentJournal> = {}): AgentJournal => journalWith({ state: 'SUCCEEDED', directive: directiveWith(WANTED), ...changes });
const policy = (drift: object): AgentPolicy => v.parse(AgentPolicy, { drift });
const judge = (observed: Observed, changes: Partial<Parameters<typeof judgeDrift>[0]> = {}) =>
  judgeDrift({ journal: done(), observed, lastReported: has(WANTED), policy: DEFAULT_AGENT_POLICY, isFirstLook: false, now: 10, ...changes });

test('a machine that is as it was left is left alone', () => {
  expect(judge(has(WANTED))).toBeNull();
  expect(isAsLeft({ journal: done(), observed: has(WANTED), lastReported: has(WANTED) })).toBe(true);
  expect(isAsLeft({ journal: done(), observed: has(OTHER), lastReported: has(OTHER) })).toBe(false);
});

test('another system by hand, or from the boot menu, is a choice', () => {
  expect(judge(has(OTHER))).toEqual({ type: 'overridden', override: { toplevel: OTHER, since: 10, by: 'switch' } });
  expect(judge(has(OTHER, { booted: OTHER }), { isFirstLook: true })).toMatchObject({ override: { by: 'boot' } });
  expect(judge(has(OTHER), { policy: policy({ action: 'correct-now' }) })).toEqual({ type: 'resumed' });
});

test('a choice stands until its maker takes it back, or the policy is to correct it', () => {
  const journal = done({ state: 'IDLE', override: { toplevel: OTHER, since: 10, by: 'switch' } });
  const lastReported = has(OTHER);
  expect(judge(has(OTHER), { journal, lastReported })).toBeNull();
  expect(judge(has(WANTED), { journal, lastReported })).toEqual({ type: 'resumed' });
  const later = policy({ action: 'correct-later', afterMinutes: 1 });
  expect(judge(has(OTHER), { journal, lastReported, policy: later, now: 60_009 })).toBeNull();
  expect(judge(has(OTHER), { journal, lastReported, policy: later, now: 60_010 })).toEqual({ type: 'resumed' });
  const asked = done({ state: 'IDLE', override: { toplevel: OTHER, since: 10, by: 'rollback' } });
  expect(judge(has(OTHER), { journal: asked, lastReported, policy: policy({ action: 'correct-now' }) })).toBeNull();
});

test('other changes are reported', () => {
  expect(judge(has(WANTED, { profile: { generation: 3, toplevel: OTHER } }))).toEqual({ type: 'drifted' });
});

test('a machine that waits for a restart runs what it ran, or what is wanted; anything else is a choice', () => {
  const BEFORE = storePath('before');
  const before = { toplevel: BEFORE, profile: BEFORE, failedUnits: [], serverUrl: null, cache: null };
  const journal = done({ state: 'BOOT_STAGED', before, boot: { misses: 0 } });
  const judgeStaged = (current: typeof WANTED, drift = {}) => judge(has(current), { journal, lastReported: has(current), policy: policy(drift) });
  expect(judgeStaged(BEFORE)).toBeNull();
  expect(judgeStaged(WANTED)).toBeNull();
  expect(judgeStaged(OTHER)).toMatchObject({ type: 'overridden', override: { toplevel: OTHER, by: 'switch' } });
  expect(judgeStaged(OTHER, { action: 'correct-now' })).toEqual({ type: 'resumed' });
});

test('a machine whose rollback failed is reported when it is back after all', () => {
  const before = { toplevel: OTHER, profile: OTHER, failedUnits: [], serverUrl: null, cache: null };
  const journal = done({ state: 'ROLLBACK_FAILED', before });
  const back = has(OTHER, { profile: { generation: 1, toplevel: OTHER } });
  expect(judge(back, { journal, lastReported: back })).toMatchObject({ type: 'watchdog-rolled-back' });
  expect(isAsLeft({ journal, observed: back, lastReported: back })).toBe(false);
  expect(judge(has(OTHER), { journal, lastReported: has(OTHER) })).toBeNull();
  expect(judge(has(WANTED), { journal })).toBeNull();
});

const on = (current: typeof OLD, profile = current): Observed => ({ current, booted: current, profile: { generation: 1, toplevel: profile } });
const OLD = storePath('old');
const left = (changes: Partial<AgentJournal>): AgentJournal =>
  done({
    before: { toplevel: OLD, profile: OLD, failedUnits: null, serverUrl: null, cache: null },
    report: reportWith(1, { observed: on(OLD) }),
    ...changes,
  });

test.each(['correct-later', 'correct-now'] as const)('%s with a quarantined system: said once, not forever', (action) => {
  const observed = on(OTHER);
  let journal = left({ state: 'ROLLED_BACK', verdict: 'failed', quarantined: [WANTED] });
  let lastReported = on(OLD);
  let events = 0;
  let reports = 0;
  for (let look = 0; look < 20; look += 1) {
    const event = judgeDrift({
      journal,
      observed,
      lastReported,
      policy: policy({ action, afterMinutes: 0 }),
      isFirstLook: false,
      now: 10 + look * 5000,
    });
    if (event === null) continue;
    events += 1;
    const step = decide(journal, event, 10 + look * 5000);
    journal = step.journal;
    if (step.effects.some(({ type }) => type === 'report')) {
      reports += 1;
      lastReported = observed;
    }
  }
  expect(reports).toBeGreaterThan(0); // the server learns what runs
  expect({ events, reports }).toEqual({ events: 1, reports: 1 });
});

test('a restart brings back what the machine starts by default: nobody overrode anything', () => {
  // Somebody ran OTHER by `test` when WANTED came; it failed, and the machine went back to OTHER. Then it was restarted.
  const journal = left({
    state: 'ROLLED_BACK',
    verdict: 'failed',
    quarantined: [WANTED],
    before: { toplevel: OTHER, profile: OLD, failedUnits: null, serverUrl: null, cache: null },
  });
  const event = judgeDrift({ journal, observed: on(OLD), lastReported: on(OLD), policy: DEFAULT_AGENT_POLICY, isFirstLook: true, now: 10 });
  expect(event?.type).not.toBe('overridden');
});

test('a restart while the boot loader could not be told is no switch by hand', () => {
  const journal = left({ state: 'BLOCKED', verdict: 'passed', detail: { code: 'BOOT_NOT_SET', message: '' } });
  const observed = { current: OLD, booted: OLD, profile: { generation: 2, toplevel: WANTED } };
  const event = judgeDrift({ journal, observed, lastReported: observed, policy: DEFAULT_AGENT_POLICY, isFirstLook: false, now: 10 });
  expect(event?.type).not.toBe('overridden');
});

test('somebody who switches by hand while a system waits for its window is not fought', () => {
  const journal = left({ state: 'DEFERRED', before: null, verdict: null });
  const observed = on(OTHER);
  const event = judgeDrift({ journal, observed, lastReported: on(OLD), policy: DEFAULT_AGENT_POLICY, isFirstLook: false, now: 10 });
  const { journal: next } = decide(journal, event ?? { type: 'drifted' }, 10);
  expect(next.override).not.toBeNull();
});
