import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { createServer as createTcpServer, type AddressInfo, type Server } from 'node:net';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exec, systemClock, type Clock, type Exec, type ExecResult } from '@floe/runtime';
import { describe, expect, test } from 'vitest';
import { checkHealth, longestHealthCheckMs, type HealthCheckOptions } from './health-checks.ts';
import { FakeMachine } from '../test/fake-machine.ts';
import { storePath } from '../test/fixtures.ts';

const options: HealthCheckOptions = { passes: 3, pauseMs: 0, graceMs: 0, signal: new AbortController().signal };

interface Changes extends Partial<HealthCheckOptions> {
  readonly clock?: Clock;
  readonly exec?: Exec;
}

function machineWith(checks: unknown): FakeMachine {
  const machine = new FakeMachine();
  if (checks !== undefined) machine.healthChecks = typeof checks === 'string' ? checks : JSON.stringify(checks);
  return machine;
}

async function check(checks: unknown, changes: Changes = {}) {
  const deps = { machine: machineWith(checks), exec: changes.exec ?? exec, clock: changes.clock ?? systemClock };
  return await checkHealth(deps, storePath('new'), { ...options, ...changes });
}

/** Time that passes only while somebody sleeps; `slept` has how long each time. */
function sleepingClock(): Clock & { readonly slept: number[] } {
  let now = 0;
  const slept: number[] = [];
  return {
    slept,
    now: () => now,
    monotonic: () => now,
    sinceBoot: () => now,
    async sleep(ms) {
      slept.push(ms);
      now += ms;
      return await Promise.resolve();
    },
  };
}

/** A program that ends with these statuses, one after another; the last one forever. */
function exitsWith(...statuses: number[]): Exec & { readonly calls: string[][] } {
  const calls: string[][] = [];
  const run: Exec = async (file, args) => {
    const exitCode = statuses[Math.min(calls.length, statuses.length - 1)] ?? 0;
    calls.push([file, ...args]);
    return await Promise.resolve({ end: 'exited', exitCode, signal: null, stdout: '', stderr: '', durationMs: 0 });
  };
  return Object.assign(run, { calls });
}

function sh(script: string, more: object = {}): object {
  return { name: 'it', command: ['/bin/sh', '-c', script], timeoutSeconds: 5, ...more };
}

async function listening(server: Server): Promise<AsyncDisposable & { readonly port: number }> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.close();
      await once(server, 'close');
    },
  };
}

async function serving(answer: RequestListener) {
  return await listening(createHttpServer(answer));
}

test('a system without checks is healthy, and so is one whose checks pass', async () => {
  expect(await check(undefined)).toBeNull();
  expect(await check([])).toBeNull();
  expect(await check([sh('true'), sh('exit 0')])).toBeNull();
});

test.each([
  '{',
  '{"not":"a list"}',
  '[{"name":"x","command":[]}]',
  '[{"name":"x","command":["a"],"timeoutSeconds":-1}]',
  '[{"name":"x","kind":"incantation"}]',
  '[{"name":"x","kind":"http","url":"ftp://localhost/"}]',
  '[{"name":"x","kind":"tcp","port":70000}]',
  '[{"name":"x","kind":"unit","unit":"--all"}]',
  '[{"name":"x","kind":"unit","unit":"a.service b.service"}]',
])('checks of a wrong form are a failure: %s', async (text) => {
  expect(await check(text)).toMatchObject({ code: 'HEALTH_CHECKS_INVALID' });
});

describe('a command', () => {
  test('that fails is named, with its last words', async () => {
    const detail = await check([sh('true', { name: 'fine' }), sh('echo "no route to printer" >&2; exit 3', { name: 'printer', kind: 'command' })]);
    expect(detail).toEqual({ code: 'HEALTH_CHECK_FAILED', message: 'the check "printer" ended with status 3 instead of 0: no route to printer' });
  });

  test('that hangs is ended after its time', async () => {
    expect((await check([sh('sleep 60', { timeoutSeconds: 0.2 })]))?.message).toBe('the check "it" did not end within 200 ms');
  });

  test('that leaves a process with its output is judged when it ends, and that process is ended', async () => {
    const seconds = `3600.${process.pid}1`;
    const startedAt = performance.now();
    expect(await check([sh(`setsid sleep ${seconds} & exit 0`)])).toBeNull();
    expect((await check([sh(`setsid sleep ${seconds} & exit 3`)]))?.message).toContain('ended with status 3');
    expect((await check([sh(`(setsid sleep ${seconds} &); sleep ${seconds}`, { timeoutSeconds: 0.2 })]))?.message).toContain(
      'did not end within 200 ms',
    );
    expect(performance.now() - startedAt).toBeLessThan(20_000);
    for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
      const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
      expect(command.startsWith(`sleep\0${seconds}`)).toBe(false);
    }
  });

  test('whose program is missing fails', async () => {
    expect((await check([{ name: 'it', command: ['/nonexistent/program'] }]))?.message).toContain('there is no program /nonexistent/program');
  });
});

describe('a command on a machine with systemd', () => {
  async function onSystemd(script: string, result: Partial<ExecResult>) {
    const machine = machineWith([{ name: 'printer', command: ['/bin/sh', '-c', script], timeoutSeconds: 5 }]);
    machine.switchesOutliveAgent = true;
    const calls: { file: string; args: readonly string[]; timeoutMs: number | undefined }[] = [];
    const systemdRun: Exec = async (file, args, how) => {
      calls.push({ file, args, timeoutMs: how?.timeoutMs });
      return await Promise.resolve({ end: 'exited', exitCode: 0, signal: null, stdout: '', stderr: '', durationMs: 10, ...result });
    };
    const detail = await checkHealth({ machine, exec: systemdRun, clock: systemClock }, storePath('new'), { ...options, passes: 1 });
    return { message: detail?.message, call: calls[0] };
  }

  test("runs outside of the agent's unit, with its words as they are", async () => {
    const { message, call } = await onSystemd('test "$HOME" = ${HOME} # 100%', {});
    expect(message).toBeUndefined();
    expect(call?.file).toBe('systemd-run');
    expect(call?.args).toEqual([
      '--quiet',
      '--pipe',
      '--wait',
      '--collect',
      '--service-type=exec',
      '--description=Floe: health check printer',
      '--property=RuntimeMaxSec=5',
      '--property=TimeoutStopSec=5',
      '--setenv=PATH=/usr/bin:/bin',
      '--',
      '/bin/sh',
      '-c',
      'test "$$HOME" = $${HOME} # 100%',
    ]);
    // systemd ends it before the agent gives up.
    expect(call?.timeoutMs).toBeGreaterThan(10_000);
  });

  test('says how it failed, and when systemd ended it', async () => {
    expect((await onSystemd('', { exitCode: 3, stderr: 'no paper\n' })).message).toBe(
      'the check "printer" ended with status 3 instead of 0: no paper',
    );
    expect((await onSystemd('', { exitCode: 1, durationMs: 5010 })).message).toBe('the check "printer" did not end within 5 s');
  });
});

describe('how often and how long', () => {
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

  test('a check that passes twice and then fails has failed, or counts from zero within its grace', async () => {
    const programs = [exitsWith(0, 0, 1, 0), exitsWith(0, 0, 1, 0)] as const;
    expect(await check([sh('')], { exec: programs[0] })).toMatchObject({ code: 'HEALTH_CHECK_FAILED' });
    expect(programs[0].calls).toHaveLength(3);
    expect(await check([sh('', { graceSeconds: 60 })], { exec: programs[1], clock: sleepingClock() })).toBeNull();
    expect(programs[1].calls).toHaveLength(6);
  });

  test("a check's own numbers go before those of the agent", async () => {
    const program = exitsWith(0);
    const clock = sleepingClock();
    expect(await check([sh('', { passes: 5, intervalSeconds: 2 })], { exec: program, clock, pauseMs: 100 })).toBeNull();
    expect(program.calls).toHaveLength(5);
    expect(clock.slept).toEqual([2000, 2000, 2000, 2000]);
    expect(await check([sh('')], { exec: program, clock, pauseMs: 100, passes: 2 })).toBeNull();
    expect(program.calls).toHaveLength(7);
    expect(clock.slept.slice(4)).toEqual([100]);
  });

  test('what fails is tried until its grace is over, and once more at its end', async () => {
    const program = exitsWith(1);
    const clock = sleepingClock();
    expect(await check([sh('', { graceSeconds: 5, intervalSeconds: 2 })], { exec: program, clock })).toMatchObject({ code: 'HEALTH_CHECK_FAILED' });
    expect(clock.slept).toEqual([2000, 2000, 1000]);
    expect(program.calls).toHaveLength(4);
  });

  test('one that has failed permanently ends the others: what failed is told, what was passing is not', async () => {
    const others = Promise.withResolvers<void>();
    const ended = new Set<string>();
    const detail = await check(
      [
        sh('exit 1', { name: 'broken' }),
        sh('exit 2', { name: 'also broken', graceSeconds: 600, intervalSeconds: 600 }),
        sh('exit 0', { name: 'slow but well', intervalSeconds: 600 }),
        sh('sleep 60', { name: 'cut off', timeoutSeconds: 60 }),
      ],
      {
        // The first one fails when the second and the third had a try.
        exec: async (file, args, how) => {
          const script = args.at(-1) ?? '';
          if (script === 'exit 1') await others.promise;
          const result = await exec(file, args, how);
          ended.add(script);
          if (ended.has('exit 0') && ended.has('exit 2')) others.resolve();
          return result;
        },
      },
    );
    expect(detail?.message).toBe('the check "broken" ended with status 1 instead of 0; the check "also broken" ended with status 2 instead of 0');
  });

  test('the longest time that all may take is known beforehand', async () => {
    const longest = async (checks: unknown) =>
      await longestHealthCheckMs(machineWith(checks), storePath('new'), { passes: 3, pauseMs: 1000, graceMs: 30_000 });
    expect(await longest(undefined)).toBe(0);
    expect(await longest('{')).toBe(0);
    // Its grace, a last try with 25 s to be started and ended, then three tries after their pauses.
    expect(await longest([sh('', { timeoutSeconds: 1 })])).toBe(30_000 + 26_000 + 3 * (1000 + 26_000));
    expect(await longest([sh('', { timeoutSeconds: 1 }), sh('', { timeoutSeconds: 1, passes: 1, graceSeconds: 100, intervalSeconds: 0 })])).toBe(
      100_000 + 26_000 + 200 + 26_000,
    );
  });
});

describe('an HTTP check', () => {
  const http = (port: number, more: object = {}) => ({ name: 'web', kind: 'http', url: `http://127.0.0.1:${port}/`, timeoutSeconds: 5, ...more });

  test('wants a status from 200 to 399, or one of those that are named', async () => {
    let status = 204;
    let asked = 0;
    await using server = await serving((_request, response) => {
      asked += 1;
      response.writeHead(status).end(status === 204 ? '' : 'no database');
    });
    expect(await check([http(server.port)])).toBeNull();
    expect(asked).toBe(3);
    status = 503;
    expect((await check([http(server.port)]))?.message).toBe(
      `the check "web" expected status 200 to 399 from http://127.0.0.1:${server.port}/, got status 503: no database`,
    );
    expect(await check([http(server.port, { statuses: [200, 503] })])).toBeNull();
    status = 200;
    expect((await check([http(server.port, { statuses: [401, 503] })]))?.message).toContain('expected status 401 or 503');
  });

  test('may want a text in the answer', async () => {
    await using server = await serving((_request, response) => response.end('{"status":"degraded"}'));
    expect(await check([http(server.port, { body: '"status"' })])).toBeNull();
    expect((await check([http(server.port, { body: '"ok"' })]))?.message).toBe(
      `the check "web" expected ""ok"" in the answer of http://127.0.0.1:${server.port}/, got status 200 without it: {"status":"degraded"}`,
    );
  });

  test('follows redirects on the same host, not forever, and takes one to elsewhere as the answer', async () => {
    const paths: (string | undefined)[] = [];
    await using server = await serving((request, response) => {
      paths.push(request.url);
      const to: Record<string, string> = { '/': '/next', '/next': '/broken', '/loop': '/loop', '/away': 'http://localhost:1/' };
      const location = to[request.url ?? ''];
      response.writeHead(location === undefined ? 500 : 302, location === undefined ? {} : { location }).end();
    });
    const at = async (path: string, more: object = {}) =>
      await check([http(server.port, { url: `http://127.0.0.1:${server.port}${path}`, ...more })], { passes: 1 });
    expect((await at('/'))?.message).toContain('/broken, got status 500');
    expect(paths).toEqual(['/', '/next', '/broken']);
    expect((await at('/loop'))?.message).toContain('got more than 5 redirects');
    expect(await at('/away')).toBeNull();
    expect(await at('/', { statuses: [302] })).toBeNull();
    expect((await at('/away', { statuses: [200] }))?.message).toContain('got status 302');
  });

  test('goes by no proxy, whatever the environment says', async () => {
    await using server = await serving((_request, response) => response.end('direct'));
    await using proxy = await serving((_request, response) => response.writeHead(500).end('by proxy'));
    const module = new URL('http-probe.ts', import.meta.url).href;
    const ask = { statuses: [], url: `http://127.0.0.1:${server.port}/`, body: 'direct' };
    const script = `const { probeHttp } = await import(${JSON.stringify(module)}); console.log(await probeHttp(${JSON.stringify(ask)}, new AbortController().signal));`;
    const result = await exec(process.execPath, ['--input-type=module', '--eval', script], {
      env: { NODE_USE_ENV_PROXY: '1', HTTP_PROXY: `http://127.0.0.1:${proxy.port}`, http_proxy: `http://127.0.0.1:${proxy.port}` },
      timeoutMs: 20_000,
    });
    expect({ out: result.stdout.trim(), exitCode: result.exitCode, stderr: result.stderr }).toMatchObject({ out: 'null', exitCode: 0 });
  });

  test('fails when nobody listens, when the server says nothing, and when it hangs up', async () => {
    let port;
    {
      await using closed = await listening(createTcpServer());
      port = closed.port;
    }
    expect((await check([http(port)]))?.message).toMatch(/got no answer: .*ECONNREFUSED/);
    await using rude = await listening(createTcpServer((socket) => socket.destroy()));
    expect((await check([http(rude.port)]))?.message).toContain('got no answer');
    const silent = createHttpServer(() => undefined);
    await using mute = await listening(silent);
    expect((await check([http(mute.port, { timeoutSeconds: 0.2 })]))?.message).toContain('the check "web" did not end within 200 ms');
  });

  test('judges an answer without an end by its beginning', async () => {
    await using server = await serving((_request, response) => {
      const more = (): void => {
        while (!response.destroyed && response.write('x'.repeat(64 * 1024)));
      };
      response.on('drain', more);
      more();
    });
    expect(await check([http(server.port)], { passes: 1 })).toBeNull();
  });
});

describe('a TCP check', () => {
  test('wants somebody who listens', async () => {
    let port;
    {
      await using server = await listening(createTcpServer((socket) => socket.on('error', () => undefined).resume()));
      port = server.port;
      expect(await check([{ name: 'db', kind: 'tcp', port }])).toBeNull();
      expect(await check([{ name: 'db', kind: 'tcp', port, host: '127.0.0.1' }])).toBeNull();
    }
    expect((await check([{ name: 'db', kind: 'tcp', port, host: '127.0.0.1' }]))?.message).toBe(
      `the check "db" expected a connection to 127.0.0.1:${port}, got none: nothing listens there`,
    );
  });

  test('says which name leads nowhere', async () => {
    expect((await check([{ name: 'db', kind: 'tcp', port: 1, host: 'nowhere.invalid' }]))?.message).toContain('nowhere.invalid');
  });
});

describe('a unit check', () => {
  /** systemctl that shows one state after another; the last one forever. */
  function systemctl(...states: Record<string, string | number>[]): Exec & { readonly calls: string[][] } {
    const calls: string[][] = [];
    const run: Exec = async (file, args) => {
      const state = states[Math.min(calls.length, states.length - 1)] ?? {};
      calls.push([file, ...args]);
      const stdout = Object.entries(state)
        .map(([name, value]) => `${name}=${value}\n`)
        .join('');
      return await Promise.resolve({ end: 'exited', exitCode: 0, signal: null, stdout, stderr: '', durationMs: 0 });
    };
    return Object.assign(run, { calls });
  }
  const active = { LoadState: 'loaded', ActiveState: 'active', SubState: 'running', Result: 'success', NRestarts: 4 };
  const unit = { name: 'web', kind: 'unit', unit: 'nginx.service' };

  test('wants it active, three times', async () => {
    const program = systemctl(active);
    expect(await check([unit], { exec: program })).toBeNull();
    expect(program.calls).toHaveLength(3);
    expect(program.calls[0]).toEqual([
      'systemctl',
      'show',
      '--property=LoadState',
      '--property=ActiveState',
      '--property=SubState',
      '--property=Result',
      '--property=NRestarts',
      '--',
      'nginx.service',
    ]);
    expect(await check([unit], { exec: systemctl({ LoadState: 'loaded', ActiveState: 'active', SubState: 'waiting' }) })).toBeNull();
    expect(await check([unit], { exec: systemctl({ ...active, ActiveState: 'reloading' }) })).toBeNull();
  });

  test.each([
    [{ ...active, ActiveState: 'failed', SubState: 'failed', Result: 'exit-code' }, 'got failed (exit-code)'],
    [{ ...active, ActiveState: 'activating', SubState: 'auto-restart', Result: 'exit-code' }, 'got activating (auto-restart, exit-code)'],
    [{ ...active, ActiveState: 'inactive', SubState: 'dead' }, 'got inactive (dead)'],
    [{ LoadState: 'not-found', ActiveState: 'inactive' }, 'but there is no such unit'],
    [{}, 'got no state'],
  ])('says what it found: %j', async (state, words) => {
    expect((await check([unit], { exec: systemctl(state) }))?.message).toContain(`the check "web" expected nginx.service to be active, ${words}`);
  });

  test('sees a crash loop of a service that is active whenever one looks', async () => {
    const crashing = systemctl(active, { ...active, NRestarts: 5 });
    expect((await check([unit], { exec: crashing }))?.message).toBe(
      'the check "web" expected nginx.service to stay active, got 1 more restart since the last look',
    );
    // Within the grace it may have crashed before it was well.
    const recovered = systemctl(active, { ...active, NRestarts: 6 });
    expect(await check([{ ...unit, graceSeconds: 10 }], { exec: recovered, clock: sleepingClock() })).toBeNull();
    expect(recovered.calls).toHaveLength(5);
  });

  test('fails when systemctl cannot be asked', async () => {
    expect((await check([unit], { exec: exitsWith(1) }))?.message).toContain('systemctl could not tell');
    const missing: Exec = async () => await Promise.reject(new Error('no such program'));
    expect((await check([unit], { exec: missing }))?.message).toContain('systemctl could not tell: systemctl is missing');
  });
});
