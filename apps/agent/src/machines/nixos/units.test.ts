import type { Exec, ExecResult } from '@floe/runtime';
import { expect, test } from 'vitest';
import { failedUnits } from './units.ts';

const result: ExecResult = { end: 'exited', exitCode: 0, signal: null, stdout: '', stderr: '', durationMs: 1 };
const NO_ANSWER: ExecResult = { ...result, exitCode: 1, stderr: 'Failed to list units: Connection timed out' };
const patience = { tries: 3, pauseMs: 1 };

function systemctl(...answers: (ExecResult | Error)[]): { exec: Exec; calls: () => number } {
  let calls = 0;
  const exec: Exec = async () => {
    const answer = answers[Math.min(calls, answers.length - 1)];
    calls += 1;
    return answer instanceof Error || answer === undefined ? await Promise.reject(answer ?? new Error()) : await Promise.resolve(answer);
  };
  return { exec, calls: () => calls };
}

test('the failed units are those that systemd names', async () => {
  const { exec } = systemctl({ ...result, stdout: '[{"unit":"web.service","active":"failed"},{"unit":"a.mount","active":"failed"}]' });
  expect(await failedUnits({ exec, env: {} }, patience)).toEqual(['web.service', 'a.mount']);
  expect(await failedUnits({ exec: systemctl({ ...result, stdout: '[]' }).exec, env: {} }, patience)).toEqual([]);
});

test('a systemd that is busy for a while is asked again: no answer is not taken for no failed units', async () => {
  const { exec, calls } = systemctl(NO_ANSWER, { ...result, end: 'timed-out', exitCode: -1 }, { ...result, stdout: '[{"unit":"web.service"}]' });
  expect(await failedUnits({ exec, env: {} }, patience)).toEqual(['web.service']);
  expect(calls()).toBe(3);
});

test('where there is no systemd nobody waits forever, and nothing throws', async () => {
  const { exec, calls } = systemctl(new Error('there is no systemctl'));
  expect(await failedUnits({ exec, env: {} }, patience)).toBeNull();
  expect(calls()).toBe(3);
});
