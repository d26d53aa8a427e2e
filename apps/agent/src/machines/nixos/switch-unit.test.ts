import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execInTest, type Exec, type ExecResult } from '@floe/runtime';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { activationFolder, type ActivationFolder } from './activation-folder.ts';
import { describeSwitch } from '../switch-outcome.ts';
import { switchUnit } from './switch-unit.ts';

const signal = new AbortController().signal;
const result: ExecResult = { end: 'exited', exitCode: 0, signal: null, stdout: '', stderr: '', durationMs: 1 };
const NAME = 'floe-switch-1-test';

let dir: string;
let folder: ActivationFolder;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-units-'));
  folder = activationFolder(dir, 1);
});
afterEach(async () => {
  await rm(dir, { recursive: true });
});

/** A systemd that ends each unit at once, as `end` says: what its `ExecStopPost` is told. */
function fakeSystemd(end: string | undefined): { fake: Exec; calls: string[][] } {
  const calls: string[][] = [];
  const fake: Exec = async (file, args) => {
    calls.push([file, ...args]);
    if (file === 'systemd-run' && end !== undefined) {
      const [outcome = '', code = '', status = ''] = end.split(' ');
      const stopPost =
        args
          .find((each) => each.includes('ExecStopPost='))
          ?.split('=')
          .at(-1)
          ?.split(' ') ?? [];
      await execInTest('/bin/sh', stopPost.slice(1), {
        env: { PATH: '/nothing/here', SERVICE_RESULT: outcome, EXIT_CODE: code, EXIT_STATUS: status },
      });
    }
    if (file === 'systemctl') return { ...result, stdout: 'inactive\n' };
    return file === 'journalctl'
      ? { ...result, stdout: `Starting x\n${NAME}.service: Failed\nwarning: the following units failed: web.service\n` }
      : result;
  };
  return { fake, calls };
}

test.each([
  ['exit-code exited 4', { kind: 'switched', note: { code: 'UNITS_FAILED' } }],
  ['success exited 0', { kind: 'switched', note: null }],
  ['exit-code exited 1', { kind: 'failed', detail: { code: 'SWITCH_FAILED' } }],
  ['timeout killed TERM', { kind: 'failed', detail: { code: 'SWITCH_TIMED_OUT' } }],
  ['signal killed KILL', { kind: 'failed', detail: { code: 'SWITCH_KILLED' } }],
])('a unit that ended with "%s" is understood from what it left on disk', async (end, expected) => {
  const { fake, calls } = fakeSystemd(end);
  const unit = switchUnit({ exec: fake, env: {} }, folder, NAME);
  const ended = await unit.run(['/system/bin/switch-to-configuration', 'test'], { limitMs: 90_000, signal });
  expect(describeSwitch('test', ended)).toMatchObject(expected);
  expect(ended.stderr.trim()).toBe('warning: the following units failed: web.service');
  const run = calls.find(([file]) => file === 'systemd-run');
  expect(run).toEqual(expect.arrayContaining([`--unit=${NAME}.service`, '--property=KillMode=control-group', '--property=TimeoutStartSec=90']));
  expect(run?.slice(-2)).toEqual(['/system/bin/switch-to-configuration', 'test']);

  // A later agent reads the same.
  expect(await switchUnit({ exec: fakeSystemd(undefined).fake, env: {} }, folder, NAME).result(signal)).toEqual(ended);
});

test('a switch that systemd does not take is an error that says so, and one that never ran has no result', async () => {
  const unit = switchUnit({ exec: fakeSystemd(undefined).fake, env: {} }, folder, NAME);
  expect(await unit.result(signal)).toBeUndefined();
  await expect(unit.run(['/bin/true'], { limitMs: 1_000, signal })).rejects.toMatchObject({ code: 'SWITCH_NOT_STARTED', retryable: true });
});

test('the first word about an activation stands, whoever writes it', async () => {
  expect(await folder.verdict()).toBeUndefined();
  expect(await folder.claim('passed')).toBe('passed');
  expect(await folder.claim('undo')).toBe('passed');
  const other = activationFolder(dir, 2);
  await other.write('verdict', 'undo\n');
  expect(await other.claim('passed')).toBe('undo');
  expect(await readFile(other.file('verdict'), 'utf8')).toBe('undo\n');
});
