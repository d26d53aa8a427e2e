import { expect, test } from 'vitest';
import { reasonOf, standingWords, todoOf } from '@floe/views';
import { otherNextBoot, toneOf } from './standing.ts';
import { hostView, storePath } from '@floe/views/fixtures';

test('a host in sync with an older release is not shown as all well', () => {
  const host = hostView('ws1', { standing: 'behind' });
  expect([standingWords(host), toneOf(host)]).toEqual(['behind', 'warn']);
});

test('a host that waits, or is kept by its user, says why and is no warning', () => {
  const detail = { code: 'METERED', message: 'on a metered connection' };
  const waiting = hostView('ws1', { standing: 'waiting', state: 'DEFERRED', detail });
  expect([standingWords(waiting), toneOf(waiting), reasonOf(waiting)]).toEqual(['waiting', 'busy', 'on a metered connection']);
  const kept = hostView('ws1', { standing: 'local-override', state: 'IDLE', detail });
  expect([standingWords(kept), reasonOf(kept)]).toEqual(['kept by its user', 'on a metered connection']);
  const broken = { ...kept, problem: 'does not evaluate: error' };
  expect(reasonOf(broken)).toBe('does not evaluate: error');
});

test('a host that nobody enrolled says how', () => {
  expect(todoOf(hostView('ws1', { standing: 'not-enrolled' }))).toBe('run: floe enrol ws1');
});

test('a machine that will start something else than it runs shows it', () => {
  const profile = { generation: 3, toplevel: storePath('bbbbbbbb') };
  expect(otherNextBoot(hostView('ws1', { observed: { current: storePath('aaaaaaaa'), booted: null, profile } }))).toBe(profile.toplevel);
  expect(otherNextBoot(hostView('ws1'))).toBeNull();
});
