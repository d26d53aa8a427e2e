import { expect, test } from 'vitest';
import { AGENT_STATES } from '../agent/state.ts';
import type { HostName, StorePath } from '../brands.ts';
import { ROLLOUT_STATES } from '../rollout-state.ts';
import { beginRollout, NO_ORDERS, type RolloutCourse } from './course.ts';
import { isWithdrawn, type ToHave } from './withdrawn.ts';

const [host, toplevel] = ['ada' as HostName, '/nix/store/new' as StorePath];
const waiting: ToHave = { host, toplevel, because: 'kept', state: 'BOOT_STAGED', subject: toplevel, isStaged: false };
const in_ = (state: RolloutCourse['state'], changes: Partial<RolloutCourse> = {}) => ({
  course: { ...beginRollout(0), state, ...changes },
  orders: NO_ORDERS,
});
const freeze = { by: 'ada', reason: 'holidays', at: 0, until: 10 };
const frozen = (state: RolloutCourse['state']) => ({ ...in_(state), orders: { ...NO_ORDERS, freeze } });

test('a system that waits for a restart is taken back when its rollout is paused, aborted or frozen', () => {
  expect(ROLLOUT_STATES.filter((state) => isWithdrawn(waiting, in_(state), 0))).toEqual(['PAUSED', 'ABORTED']);
  expect(isWithdrawn({ ...waiting, because: 'rollout' }, frozen('COMPLETE'), 9)).toBe(true);
  expect(isWithdrawn({ ...waiting, because: 'rollout' }, frozen('COMPLETE'), 10)).toBe(false);
});

test('only what waits is taken back: what was restarted into it has begun, and what is not staged has nothing to take back', () => {
  expect(AGENT_STATES.filter((state) => isWithdrawn({ ...waiting, state }, in_('PAUSED'), 0))).toEqual(['BOOT_STAGED']);
  expect(isWithdrawn({ ...waiting, subject: '/nix/store/other' as StorePath }, in_('PAUSED'), 0)).toBe(false);
});

test('stable, a pin, a hold and what goes back are not withdrawn', () => {
  for (const because of ['stable', 'pin', 'hold', 'revert'] as const) expect(isWithdrawn({ ...waiting, because }, frozen('PAUSED'), 0)).toBe(false);
});

test('it stays withdrawn whatever its agent reports, also when it is superseded, until it is promoted again', () => {
  const staged = { ...waiting, isStaged: true };
  for (const state of AGENT_STATES) for (const rollout of ROLLOUT_STATES) expect(isWithdrawn({ ...staged, state }, in_(rollout), 0)).toBe(true);
  expect(isWithdrawn({ ...staged, because: 'rollout' }, in_('ROLLING'), 0)).toBe(false);
});

test('a host whose own failure paused the rollout, and that somebody had try again, is not withdrawn', () => {
  const pause = { cause: 'failures', count: 1, failures: [{ host, toplevel, reason: '' }] } as const;
  expect(isWithdrawn(waiting, in_('PAUSED', { pause }), 0)).toBe(false);
  expect(isWithdrawn({ ...waiting, host: 'bob' as HostName }, in_('PAUSED', { pause }), 0)).toBe(true);
  expect(isWithdrawn({ ...waiting, isSuperseded: true }, in_('PAUSED', { pause }), 0)).toBe(true);
  expect(isWithdrawn({ ...waiting, isLabelStopped: true }, in_('PAUSED', { pause }), 0)).toBe(true);
  expect(isWithdrawn(waiting, { ...frozen('PAUSED'), course: in_('PAUSED', { pause }).course }, 0)).toBe(true);
});
