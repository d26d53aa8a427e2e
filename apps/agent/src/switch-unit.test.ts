import type { Exec, ExecResult } from '@floe/runtime';
import { expect, test } from 'vitest';
import { describeSwitch } from './switch-outcome.ts';
import { switchUnit } from './switch-unit.ts';
import { storePath } from './test/fixtures.ts';

const NEW = storePath('new');
const signal = new AbortController().signal;
const result: ExecResult = { end: 'exited', exitCode: 0, signal: null, stdout: '', stderr: '', durationMs: 1 };

/** systemd with one unit, whose properties a test sets. */
function fakeSystemd(states: Record<string, string>[]): { exec: Exec; calls: string[] } {
  const calls: string[] = [];
  const exec: Exec = async (file, args) => {
    calls.push([file, ...args.slice(0, 1)].join(' '));
    if (file === 'systemctl' && args[0] === 'show') {
      const state = (states.length > 1 ? states.shift() : states[0]) ?? {};
      return await Promise.resolve({
        ...result,
        stdout: Object.entries(state)
          .map(([name, value]) => `${name}=${value}\n`)
          .join(''),
      });
    }
    return await Promise.resolve(file === 'journalctl' ? { ...result, stdout: 'warning: the following units failed: web.service\n' } : result);
  };
  return { exec, calls };
}

const exited = (status: string, action = 'test'): Record<string, string> => ({
  ActiveState: status === '0' ? 'active' : 'failed',
  SubState: status === '0' ? 'exited' : 'failed',
  Description: `Floe: ${action} ${NEW}`,
  ExecMainCode: '1',
  ExecMainStatus: status,
  Result: status === '0' ? 'success' : 'exit-code',
  InvocationID: 'x',
});

test('a switch runs in a unit of its own, that is not collected', async () => {
  const { exec, calls } = fakeSystemd([exited('0')]);
  const outcome = await switchUnit({ exec, env: {} }).run(NEW, 'test', signal);
  expect(describeSwitch('test', outcome)).toEqual({ kind: 'switched', note: null });
  expect(calls).toEqual([
    'systemctl stop',
    'systemctl reset-failed',
    'systemd-run --unit=floe-switch.service',
    'systemctl show',
    'journalctl --output=cat',
  ]);
});

test('the exit status is that of the script, with its last words', async () => {
  const { exec } = fakeSystemd([exited('4')]);
  const outcome = describeSwitch('test', await switchUnit({ exec, env: {} }).run(NEW, 'test', signal));
  expect(outcome).toMatchObject({ kind: 'switched', note: { code: 'UNITS_FAILED' } });
  expect(JSON.stringify(outcome)).toContain('web.service');
});

test('a switch that still runs is waited for, and known again by its system', async () => {
  const running = { ...exited('0'), ActiveState: 'activating', SubState: 'start' };
  const { exec } = fakeSystemd([running, running, exited('0')]);
  expect(await switchUnit({ exec, env: {} }).resultOf(NEW, 'test', signal)).toMatchObject({ end: 'exited', exitCode: 0 });
  const { exec: other } = fakeSystemd([exited('0', 'boot')]);
  expect(await switchUnit({ exec: other, env: {} }).resultOf(NEW, 'test', signal)).toBeUndefined();
  const { exec: none } = fakeSystemd([{ ActiveState: 'inactive', SubState: 'dead', Description: 'floe-switch.service' }]);
  expect(await switchUnit({ exec: none, env: {} }).resultOf(NEW, 'test', signal)).toBeUndefined();
});

test('a unit that systemd did not start is no result', async () => {
  const { exec } = fakeSystemd([{ ActiveState: 'inactive', Description: 'floe-switch.service' }]);
  await expect(switchUnit({ exec, env: {} }).run(NEW, 'test', signal)).rejects.toMatchObject({ code: 'SWITCH_NOT_STARTED' });
});

test.each([
  [{ ...result, exitCode: 1, stderr: 'no space left in /boot' }, 'SWITCH_FAILED'],
  [{ ...result, exitCode: 100 }, 'REBOOT_NEEDED'],
  [{ ...result, end: 'timed-out' as const, exitCode: -1 }, 'SWITCH_TIMED_OUT'],
  [{ ...result, end: 'killed' as const, exitCode: -1, signal: 'SIGKILL' as const }, 'SWITCH_KILLED'],
])('an end that is no success is a failure with a code', (ended, code) => {
  expect(describeSwitch('boot', ended)).toMatchObject({ kind: 'failed', detail: { code } });
});
