import { exec, systemClock } from '@floe/runtime';
import { expect, test } from 'vitest';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkHealth, type HealthCheckOptions } from './health-checks.ts';
import { FakeMachine } from './test/fake-machine.ts';
import { storePath } from './test/fixtures.ts';

const options: HealthCheckOptions = { passes: 3, pauseMs: 0, graceMs: 0, signal: new AbortController().signal };

async function check(checks: unknown, changes: Partial<HealthCheckOptions> = {}) {
  const machine = new FakeMachine();
  if (checks !== undefined) machine.healthChecks = typeof checks === 'string' ? checks : JSON.stringify(checks);
  return await checkHealth({ machine, exec, clock: systemClock }, storePath('new'), { ...options, ...changes });
}

function sh(script: string, more: object = {}): object {
  return { name: 'it', command: ['/bin/sh', '-c', script], timeoutSeconds: 5, ...more };
}

test('a system without checks is healthy, and so is one whose checks pass', async () => {
  expect(await check(undefined)).toBeNull();
  expect(await check([])).toBeNull();
  expect(await check([sh('true'), sh('exit 0')])).toBeNull();
});

test('a failed check is named, with its last words', async () => {
  const detail = await check([sh('true', { name: 'fine' }), sh('echo "no route to printer" >&2; exit 3', { name: 'printer' })]);
  expect(detail).toEqual({ code: 'HEALTH_CHECK_FAILED', message: 'the check "printer" ended with status 3: no route to printer' });
});

test('a check that hangs is ended after its time', async () => {
  expect((await check([sh('sleep 60', { timeoutSeconds: 0.2 })]))?.message).toBe('the check "it" did not end within 0.2 s');
});

test('a check whose program is missing fails', async () => {
  expect((await check([{ name: 'it', command: ['/nonexistent/program'] }]))?.message).toContain('there is no program /nonexistent/program');
});

test.each(['{', '{"not":"a list"}', '[{"name":"x","command":[]}]', '[{"name":"x","command":["a"],"timeoutSeconds":-1}]'])(
  'checks of a wrong form are a failure: %s',
  async (text) => {
    expect(await check(text)).toMatchObject({ code: 'HEALTH_CHECKS_INVALID' });
  },
);

test('one lucky pass is not enough, and within the grace failing is no failure', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'floe-health-'));
  try {
    const count = join(dir, 'count');
    const flapping = sh(`echo x >>${count}; [ $(wc -l <${count}) != 2 ]`);
    expect(await check([flapping])).toMatchObject({ code: 'HEALTH_CHECK_FAILED' });
    await rm(count);
    expect(await check([flapping], { graceMs: 20_000 })).toBeNull();
    // Passed, failed, then three passes in a row.
    expect((await readFile(count, 'utf8')).trim().split('\n')).toHaveLength(5);
  } finally {
    await rm(dir, { recursive: true });
  }
});
