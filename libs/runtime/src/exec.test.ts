import { chownSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { ControlGroup } from './exec-cgroup.ts';
import { createExec, type ExecOptions } from './exec.ts';
import { Spawner } from './spawner/spawner.ts';

const group = ControlGroup.create(undefined);
group?.tryRemove();
const spawner = new Spawner();
afterAll(async () => await spawner[Symbol.asyncDispose]());
const KINDS = [
  { kind: 'processes found in /proc', exec: createExec({ makesGroups: false }), holdsAll: false },
  ...(group === undefined ? [] : [{ kind: 'a control group', exec: createExec(), holdsAll: true }]),
  { kind: 'a spawner', exec: spawner.exec, holdsAll: group !== undefined },
];
/** Far above what any of this takes, far below what the children would take. */
const SOON_MS = 15_000;
const FUZZ_RUNS = Number(process.env['FLOE_FUZZ_RUNS'] ?? 6);

/** A command that runs for an hour, and can be found by what follows the point. */
function hour(): { readonly command: string; readonly runs: () => boolean } {
  const seconds = `3600.${Math.trunc(Number.parseInt(randomUUID().slice(0, 8), 16))}`;
  return { command: `sleep ${seconds}`, runs: () => commandLines().some((line) => line.includes(seconds) && line.startsWith('sleep')) };
}

function commandLines(): string[] {
  return readdirSync('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return [];
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
    } catch {
      return [];
    }
  });
}

describe.each(KINDS)('exec, with $kind', ({ exec, holdsAll }) => {
  const sh = async (script: string, options: Partial<ExecOptions> = {}) => await exec('/bin/sh', ['-c', script], { timeoutMs: 60_000, ...options });

  test('returns the exit status, the output and the signal that ended the program', async () => {
    expect(await sh('echo out; echo err >&2; exit 3')).toMatchObject({ end: 'exited', exitCode: 3, signal: null, stdout: 'out\n', stderr: 'err\n' });
    expect(await sh('kill -9 $$')).toMatchObject({ end: 'killed', exitCode: -1, signal: 'SIGKILL' });
    expect(await exec('cat', [], { stdin: 'in', timeoutMs: 60_000 })).toMatchObject({ stdout: 'in' });
  });

  test('a program that is missing, cannot be run or has no working folder is not started', async () => {
    for (const [file, options] of [
      ['no-such-program', {}],
      ['/no/such', {}],
      ['/etc/passwd', {}],
      ['true', { cwd: '/no/such' }],
    ] as const) {
      await expect(exec(file, [], { timeoutMs: 60_000, ...options })).rejects.toMatchObject({ code: 'EXEC_NOT_STARTED' });
      await expect(exec(file, [], { timeoutMs: 60_000, maxMemoryBytes: 1e9, ...options })).rejects.toMatchObject({ code: 'EXEC_NOT_STARTED' });
    }
  });

  test('the environment is the given one', async () => {
    const { stdout } = await exec('/usr/bin/env', [], { env: { PATH: '/usr/bin:/bin', A: 'two words' }, timeoutMs: 60_000 });
    const names = stdout
      .trim()
      .split('\n')
      .filter((line) => !/^(?:EXECUTION_ID|SHLVL|_)=/.test(line));
    expect(names.toSorted()).toEqual(['A=two words', 'PATH=/usr/bin:/bin']);
  });

  test('a daemon that holds the pipe does not delay the result, and is killed', async () => {
    const it = hour();
    const { end, exitCode, stdout, durationMs } = await sh(`setsid ${it.command} & echo done`);
    expect({ end, exitCode, stdout }).toEqual({ end: 'exited', exitCode: 0, stdout: 'done\n' });
    expect(durationMs).toBeLessThan(SOON_MS);
    expect(it.runs()).toBe(false);
  });

  test('a daemon that may stay keeps running, and does not delay the result', async () => {
    const it = hour();
    const { exitCode, durationMs, stdout } = await sh(`setsid ${it.command} & echo $!`, { keepsDaemons: true });
    expect(exitCode).toBe(0);
    expect(durationMs).toBeLessThan(SOON_MS);
    expect(it.runs()).toBe(true);
    process.kill(Number(stdout), 'SIGKILL');
  });

  test('the output is complete, even when a daemon holds the pipe', async () => {
    const { stdout } = await sh(`head -c 3000000 /dev/zero; ${hour().command} & echo end`);
    expect(stdout.length).toBe(3_000_004);
    expect(stdout.endsWith('end\n')).toBe(true);
  });

  test.each([
    ['ignores SIGTERM', (it: string) => `trap "" TERM; ${it}; ${it}`],
    ['is in another session', (it: string) => `setsid sh -c "trap '' TERM; ${it}; ${it}"`],
    ['forked twice', (it: string) => `(setsid sh -c "trap '' TERM; ${it} & ${it}" &) ; ${it}`],
    ['has closed the pipes', (it: string) => `exec >&- 2>&- <&-; ${it}`],
    ['stopped itself', (it: string) => `(${it}) & kill -STOP $$`],
  ])('the time limit holds for one that %s', async (_, script) => {
    const it = hour();
    const { end, durationMs } = await sh(script(it.command), { timeoutMs: 200, killAfterMs: 200 });
    expect(end).toBe('timed-out');
    expect(durationMs).toBeLessThan(SOON_MS);
    expect(it.runs()).toBe(false);
  });

  test('a program that handles SIGTERM has time to clean up, and so have its children', async () => {
    const child = `trap 'sleep 0.3; echo tidy; exit' TERM; echo ready >&2; while :; do sleep 0.05; done`;
    const script = `trap 'exit 0' TERM; (${child}) & wait`;
    const asked = new AbortController();
    const { end, stdout } = await sh(script, { signal: asked.signal, onStderrLine: () => asked.abort(), killAfterMs: SOON_MS });
    expect({ end, stdout }).toEqual({ end: 'aborted', stdout: 'tidy\n' });
  });

  test('an aborted signal ends the tree, also one that was aborted before', async () => {
    const it = hour();
    const { end } = await sh(`setsid ${it.command}`, { signal: AbortSignal.timeout(100), killAfterMs: 200 });
    expect(end).toBe('aborted');
    expect((await sh(it.command, { signal: AbortSignal.abort(), killAfterMs: 200 })).end).toBe('aborted');
    expect(it.runs()).toBe(false);
  });

  test('bytes of stdout arrive as they were written, and are not in the result', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 2_000 }), fc.integer({ min: 0, max: 400 }), async (piece, times) => {
        const received: Uint8Array[] = [];
        const onStdoutBytes = (bytes: Uint8Array): void => void received.push(bytes);
        const program = `const piece = require('fs').readFileSync(0); for (let i = 0; i < ${times}; i++) process.stdout.write(piece)`;
        const { end, stdout } = await exec(process.execPath, ['-e', program], { timeoutMs: SOON_MS, stdin: piece, onStdoutBytes, maxStdoutBytes: 1 });
        expect({ end, stdout }).toEqual({ end: 'exited', stdout: '' });
        expect(Buffer.concat(received).equals(Buffer.concat(Array.from({ length: times }, () => piece)))).toBe(true);
      }),
      { numRuns: FUZZ_RUNS },
    );
  });

  test('a program whose bytes nobody takes waits', async () => {
    const asked = new AbortController();
    const taken = Promise.withResolvers<void>();
    let received = 0;
    let written = 0;
    const run = sh(`while :; do head -c 65536 /dev/zero; echo 65536 >&2; done`, {
      signal: asked.signal,
      killAfterMs: 100,
      onStdoutBytes: (bytes) => void (received += bytes.length),
      whenRead: () => (received === 0 ? undefined : taken.promise),
      onStderrLine: () => void (written += 65_536),
    });
    // It has stopped when nothing more comes, since it writes as fast as it can.
    let before = -1;
    await expect.poll(() => before === (before = written) && written > 0, { timeout: SOON_MS, interval: 300 }).toBe(true);
    expect(written).toBeLessThan(2 * 1024 * 1024);
    taken.resolve();
    await expect.poll(() => received, { timeout: SOON_MS }).toBeGreaterThan(4 * 1024 * 1024);
    asked.abort();
    expect((await run).end).toBe('aborted');
  });

  test('the memory of all processes together is limited', async () => {
    const it = hour();
    // The shell keeps 30 MB in a variable.
    const eater = `sh -c 'kept=$(head -c 30000000 /dev/zero | tr "\\0" x); ${it.command}'`;
    expect(await sh(`x=$(head -c 30000000 /dev/zero | tr '\\0' x); echo ok`, { maxMemoryBytes: 200e6 })).toMatchObject({ stdout: 'ok\n' });
    const { end } = await sh(`for i in 1 2 3 4 5 6 7 8; do ${eater} & done; wait`, { maxMemoryBytes: 200e6 });
    expect(end).toBe('out-of-memory');
    expect(it.runs()).toBe(false);
  });

  test('its memory can be read while it runs, and the most that it used afterwards', async () => {
    const read = Promise.withResolvers<() => number>();
    const asked = new AbortController();
    const eater = `x=$(head -c 30000000 /dev/zero | tr '\\0' x); echo full >&2; sleep 3600`;
    const full = Promise.withResolvers<undefined>();
    const run = sh(eater, {
      maxMemoryBytes: 1e9,
      signal: asked.signal,
      killAfterMs: 100,
      onRunning: (memoryBytes) => read.resolve(memoryBytes),
      onStderrLine: () => full.resolve(undefined),
    });
    const memoryBytes = await read.promise;
    await full.promise;
    await expect.poll(memoryBytes, { timeout: SOON_MS }).toBeGreaterThan(30e6);
    expect(memoryBytes()).toBeLessThan(300e6);
    asked.abort();
    const { peakMemoryBytes } = await run;
    expect(peakMemoryBytes).toBeGreaterThan(30e6);
    expect(peakMemoryBytes).toBeLessThan(300e6);
    expect(memoryBytes()).toBe(0);
  });

  test('a program that forks endlessly is killed', async () => {
    const it = hour();
    const forks = `sh -c '${it.command} & ${it.command} & ${it.command} & ${it.command} & ${it.command} & ${it.command} & ${it.command}; wait'`;
    const { end, durationMs } = await sh(`for i in 1 2 3 4 5 6 7 8; do ${forks} & done; wait`, { maxMemoryBytes: 1e9, maxProcesses: 40 });
    expect(['too-many-processes', 'exited']).toContain(end);
    expect(durationMs).toBeLessThan(SOON_MS);
    expect(it.runs()).toBe(false);
  });

  test('beyond the output limit only the end is kept, or the program is killed', async () => {
    const script = 'head -c 10000000 /dev/zero; echo end';
    expect((await sh(script, { maxStdoutBytes: 10, beyondStdout: 'cut' })).stdout).toBe(`${'\0'.repeat(6)}end\n`);
    expect(await sh('cat /dev/zero', { maxStdoutBytes: 1e6 })).toMatchObject({ end: 'too-much-output', exitCode: -1 });
    expect(await sh('cat /dev/zero >&2', { maxStderrBytes: 1e6, beyondStderr: 'end' })).toMatchObject({ end: 'too-much-output' });
    // It has ended before anybody could end it: its answer is half one all the same.
    expect(await sh('head -c 11 /dev/zero', { maxStdoutBytes: 10 })).toMatchObject({ end: 'too-much-output', exitCode: -1 });
    expect(await sh('head -c 10 /dev/zero', { maxStdoutBytes: 10 })).toMatchObject({ end: 'exited', exitCode: 0 });
  });

  test('passes on the lines of stdout as they arrive, and keeps them', async () => {
    const asked = new AbortController();
    const lines: string[] = [];
    const onStdoutLine = (line: string): void => {
      lines.push(line);
      if (lines.length === 2) asked.abort();
    };
    const { end, stdout } = await sh('echo one; echo err >&2; echo two; sleep 1000', { signal: asked.signal, onStdoutLine });
    expect({ end, stdout, lines }).toEqual({ end: 'aborted', stdout: 'one\ntwo\n', lines: ['one', 'two'] });
  });

  test('a line without end costs neither memory nor time', async () => {
    const lines: string[] = [];
    const before = process.memoryUsage.rss();
    const { durationMs } = await sh('head -c 64000000 /dev/zero >&2; echo >&2; echo next >&2', { onStderrLine: (line) => lines.push(line) });
    expect(lines.map((line) => line.length)).toEqual([1024 * 1024, 4]);
    expect(durationMs).toBeLessThan(SOON_MS);
    expect(process.memoryUsage.rss() - before).toBeLessThan(200e6);
  });

  test(
    'no child, however it misbehaves, outlives its limits or delays the result',
    async () => {
      const Part = fc.record({
        place: fc.constantFrom('same', 'group', 'session', 'orphan', ...(holdsAll ? ['lost' as const] : [])),
        ignoresTerm: fc.boolean(),
        pipes: fc.constantFrom('holds', 'closes', 'floods', 'floods stderr'),
        isWaitedFor: fc.boolean(),
      });
      const Child = fc.record({ parts: fc.array(Part, { minLength: 1, maxLength: 3 }), exits: fc.option(fc.integer({ min: 0, max: 5 })) });
      await fc.assert(
        fc.asyncProperty(Child, async ({ parts, exits }) => {
          const it = hour();
          const folder = mkdtempSync(join(tmpdir(), 'floe-exec-'));
          const lines = parts.map((part, index) => {
            const body = {
              holds: it.command,
              closes: `exec >&- 2>&-; ${it.command}`,
              floods: `while :; do echo flood; done`,
              'floods stderr': `while :; do echo flood >&2; done`,
            }[part.pipes];
            const quoted = `sh -c '${part.ignoresTerm ? 'trap "" TERM; ' : ''}: > ${folder}/${index}; ${body}; ${it.command}'`;
            const placed = {
              same: quoted,
              group: `timeout 3600 ${quoted}`,
              session: `setsid ${quoted}`,
              orphan: `(setsid ${quoted} &)`,
              lost: `(env -i setsid sh -c "(setsid sh -c '${it.command}' &) ; : > ${folder}/${index}" &)`,
            }[part.place];
            return `${placed} ${part.isWaitedFor && part.place !== 'orphan' && part.place !== 'lost' && index === parts.length - 1 ? '' : '&'}`;
          });
          // It ends by itself only once its children are there.
          const ready = parts.map((_, index) => `while ! [ -e ${folder}/${index} ]; do sleep 0.02; done`);
          const script = ['export PATH=/usr/bin:/bin', ...lines, ...ready, exits === null ? it.command : `exit ${exits}`].join('\n');
          const { end, exitCode, durationMs } = await sh(script, { timeoutMs: 1_000, killAfterMs: 100, maxStdoutBytes: 1e6 });
          rmSync(folder, { recursive: true });
          expect(it.runs(), script).toBe(false);
          expect(durationMs).toBeLessThan(SOON_MS);
          if (end === 'exited') expect(exitCode).toBe(exits);
          else expect(['timed-out', 'too-much-output']).toContain(end);
        }),
        { numRuns: FUZZ_RUNS, seed: Number(process.env['FLOE_FUZZ_SEED'] ?? 9), endOnFailure: true },
      );
    },
    FUZZ_RUNS * SOON_MS,
  );
});

/** As systemd does it for a service with Delegate= and DelegateSubgroup=. */
test.runIf(process.getuid?.() === 0 && group !== undefined)(
  'a service of another user creates its groups where they are delegated to it',
  async () => {
    const delegated = join(dirname(dirname(group?.entrance ?? '')), `floe-test-${process.pid}`);
    const main = join(delegated, 'floe-main');
    const [nobody, it] = [65_534, hour()];
    mkdirSync(main, { recursive: true });
    try {
      for (const folder of [delegated, main])
        for (const name of ['', 'cgroup.procs', 'cgroup.subtree_control']) chownSync(join(folder, name), nobody, nobody);
      const script = `
      const { createExec } = await import(${JSON.stringify(join(import.meta.dirname, 'exec.ts'))});
      const run = createExec();
      const seen = await run('/bin/sh', ['-c', 'cat /proc/self/cgroup'], { timeoutMs: 60000 });
      const lost = "(env -i setsid sh -c '(setsid ${it.command} >/dev/null 2>&1 </dev/null &)' &) ; sleep 0.2";
      await run('/bin/sh', ['-c', lost], { timeoutMs: 60000 });
      console.log(seen.stdout.split('\\n').find((line) => line.startsWith('0::')));`;
      const enter = `echo 0 > ${main}/cgroup.procs && exec setpriv --reuid=${nobody} --regid=${nobody} --clear-groups "$@"`;
      const result = await createExec({ makesGroups: false })('/bin/sh', ['-c', enter, 'sh', process.execPath, '--input-type=module', '-e', script], {
        timeoutMs: 60_000,
      });
      expect(result.stdout, result.stderr).toMatch(new RegExp(`^0::.*/floe-test-${process.pid}/floe-exec-`));
      expect(it.runs()).toBe(false);
      expect(readdirSync(delegated).filter((name) => name.startsWith('floe-exec-'))).toEqual([]);
    } finally {
      for (const folder of [main, delegated]) rmdirSync(folder);
    }
  },
);

afterAll(() => {
  if (group === undefined) return;
  expect(existsSync(group.entrance)).toBe(false);
});
