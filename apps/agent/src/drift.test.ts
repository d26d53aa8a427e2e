import type { AgentJournal, Observed } from '@floe/model';
import { AgentPolicy, DEFAULT_AGENT_POLICY } from '@floe/protocol';
import * as v from 'valibot';
import { expect, test } from 'vitest';
import { judgeDrift } from './drift.ts';
import { journalWith, directiveWith, storePath } from './test/fixtures.ts';

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
  judgeDrift({ journal: done(), observed, told: has(WANTED), policy: DEFAULT_AGENT_POLICY, isFirstLook: false, now: 10, ...changes });

test('a machine that is as it was left is left alone', () => {
  expect(judge(has(WANTED))).toBeNull();
});

test('another system by hand, or from the boot menu, is a choice', () => {
  expect(judge(has(OTHER))).toEqual({ type: 'overridden', override: { toplevel: OTHER, since: 10, by: 'switch' } });
  expect(judge(has(OTHER, { booted: OTHER }), { isFirstLook: true })).toMatchObject({ override: { by: 'boot' } });
  expect(judge(has(OTHER), { policy: policy({ action: 'correct-now' }) })).toEqual({ type: 'resumed' });
});

test('a choice stands until its maker takes it back, or the policy is to correct it', () => {
  const journal = done({ state: 'IDLE', override: { toplevel: OTHER, since: 10, by: 'switch' } });
  const told = has(OTHER);
  expect(judge(has(OTHER), { journal, told })).toBeNull();
  expect(judge(has(WANTED), { journal, told })).toEqual({ type: 'resumed' });
  const later = policy({ action: 'correct-later', afterMinutes: 1 });
  expect(judge(has(OTHER), { journal, told, policy: later, now: 60_009 })).toBeNull();
  expect(judge(has(OTHER), { journal, told, policy: later, now: 60_010 })).toEqual({ type: 'resumed' });
  const asked = done({ state: 'IDLE', override: { toplevel: OTHER, since: 10, by: 'rollback' } });
  expect(judge(has(OTHER), { journal: asked, told, policy: policy({ action: 'correct-now' }) })).toBeNull();
});

test('other changes are told', () => {
  expect(judge(has(WANTED, { profile: { generation: 3, toplevel: OTHER } }))).toEqual({ type: 'drifted' });
});

test('a machine that waits for a restart runs what it ran, or what is wanted; anything else is a choice', () => {
  const BEFORE = storePath('before');
  const before = { toplevel: BEFORE, profile: BEFORE, failedUnits: [], serverUrl: null };
  const journal = done({ state: 'BOOT_STAGED', before, boot: { misses: 0 } });
  const judgeStaged = (current: typeof WANTED, drift = {}) => judge(has(current), { journal, told: has(current), policy: policy(drift) });
  expect(judgeStaged(BEFORE)).toBeNull();
  expect(judgeStaged(WANTED)).toBeNull();
  expect(judgeStaged(OTHER)).toMatchObject({ type: 'overridden', override: { toplevel: OTHER, by: 'switch' } });
  expect(judgeStaged(OTHER, { action: 'correct-now' })).toEqual({ type: 'resumed' });
});

test('a machine whose way back failed is told of when it is back after all', () => {
  const before = { toplevel: OTHER, profile: OTHER, failedUnits: [], serverUrl: null };
  const journal = done({ state: 'ROLLBACK_FAILED', before });
  const back = has(OTHER, { profile: { generation: 1, toplevel: OTHER } });
  expect(judge(back, { journal, told: back })).toMatchObject({ type: 'undone' });
  expect(judge(has(OTHER), { journal, told: has(OTHER) })).toBeNull();
  expect(judge(has(WANTED), { journal })).toBeNull();
});
