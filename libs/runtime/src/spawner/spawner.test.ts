import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { randomInt } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createExec } from '../exec.ts';
import { Spawner } from './spawner.ts';

const TIMES = { timeoutMs: 60_000 };
/** Far above what any of this takes. */
const SOON = { timeout: 30_000 };

/** A sleep that can be found among all processes. */
function longSleep(): { readonly args: readonly [string]; readonly runs: () => boolean } {
  const seconds = `3600.${randomInt(1e9)}`;
  return { args: [seconds], runs: () => processes().some(({ command }) => command === `sleep ${seconds}`) };
}

function processes(): { readonly pid: number; readonly parent: number; readonly command: string }[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      const command = readFileSync(`/proc/${name}/cmdline`, 'utf8').split('\0').filter(Boolean).join(' ');
      return [{ pid: Number(name), parent: Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]), command }];
    } catch {
      return [];
    }
  });
}

function spawnerOf(parent: number): number {
  const own = processes().find((each) => each.parent === parent && each.command.includes('spawner-process'));
  expect(own).toBeDefined();
  return own?.pid ?? 0;
}

describe('a spawner', () => {
  test('that is killed ended what it ran, and the next program gets a new one', async () => {
    await using spawner = new Spawner();
    const run = spawner.exec('sleep', ['3600'], TIMES);
    await expect
      .poll(() => processes().some(({ parent, command }) => parent === process.pid && command.includes('spawner-process')), SOON)
      .toBe(true);
    process.kill(spawnerOf(process.pid), 'SIGKILL');
    expect(await run).toMatchObject({ end: 'killed', exitCode: -1, stderr: 'the process that starts programs ended: SIGKILL' });
    expect(await spawner.exec('echo', ['again'], TIMES)).toMatchObject({ end: 'exited', stdout: 'again\n' });
  });

  test('leaves signals to the process that started it', async () => {
    await using spawner = new Spawner();
    await spawner.exec('true', [], TIMES);
    const pid = spawnerOf(process.pid);
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.kill(pid, signal);
    expect(await spawner.exec('echo', ['still'], TIMES)).toMatchObject({ stdout: 'still\n' });
    expect(spawnerOf(process.pid)).toBe(pid);
  });

  test('ends with its owner, and ends what it runs when that is killed', async () => {
    const { args, runs } = longSleep();
    const source = `
      import { Spawner } from ${JSON.stringify(new URL('./spawner.ts', import.meta.url).href)};
      void new Spawner().exec('sleep', ${JSON.stringify(args)}, { timeoutMs: 60000, killAfterMs: 100 });
    `;
    const owner = spawn(process.execPath, ['--input-type=module', '-e', source], { stdio: 'ignore' });
    await expect.poll(runs, SOON).toBe(true);
    const pid = spawnerOf(owner.pid ?? 0);
    owner.kill('SIGKILL');
    await once(owner, 'exit');
    await expect.poll(runs, SOON).toBe(false);
    await expect.poll(() => processes().some((each) => each.pid === pid && each.command !== ''), SOON).toBe(false);
  });

  test('ends with its owner, whose program ended with bytes that nobody took', async () => {
    // More than may be on their way to the owner. The rest is in the pipe, where nobody reads it.
    const bytes = `${1024 * 1024 + 64 * 1024 + randomInt(1_000, 60_000)}`;
    const source = `
      import { Spawner } from ${JSON.stringify(new URL('./spawner.ts', import.meta.url).href)};
      const whenRead = () => new Promise(() => {});
      void new Spawner().exec('head', ['-c', '${bytes}', '/dev/zero'], { timeoutMs: 60000, whenRead, onStdoutBytes: () => process.stdout.write('.') });
    `;
    const owner = spawn(process.execPath, ['--input-type=module', '-e', source], { stdio: ['ignore', 'pipe', 'ignore'] });
    let told = 0;
    owner.stdout.on('data', (dots: Buffer) => (told += dots.length));
    await expect.poll(() => told > 0 && !processes().some(({ command }) => command === `head -c ${bytes} /dev/zero`), SOON).toBe(true);
    const pid = spawnerOf(owner.pid ?? 0);
    owner.kill('SIGKILL');
    await once(owner, 'exit');
    await expect.poll(() => processes().some((each) => each.pid === pid && each.command !== ''), SOON).toBe(false);
  });

  test('is no process any more after its disposal, and starts nothing before the first program', async () => {
    const isThere = (): boolean => processes().some(({ parent, command }) => parent === process.pid && command.includes('spawner-process'));
    const before = isThere();
    {
      await using spawner = new Spawner();
      expect(isThere()).toBe(before);
      await spawner.exec('true', [], TIMES);
      expect(isThere()).toBe(true);
    }
    expect(isThere()).toBe(before);
  });

  test('says the same as exec: any lines of both streams, any ends', async () => {
    await using spawner = new Spawner();
    const direct = createExec();
    const line = fc.array(fc.constantFrom('a', 'ü', '€', '🦊', ' ', 'b'.repeat(70_000)), { maxLength: 3 }).map((parts) => parts.join(''));
    await fc.assert(
      fc.asyncProperty(
        fc.array(line, { maxLength: 12 }),
        fc.array(line, { maxLength: 12 }),
        fc.integer({ min: 0, max: 255 }),
        async (out, err, code) => {
          const said = async (exec: typeof direct) => {
            const lines: string[] = [];
            const text = JSON.stringify({ out, err });
            const program = `const { out, err } = JSON.parse(require('fs').readFileSync(0, 'utf8')); for (const each of out) require('fs').writeSync(1, each + '\\n'); for (const each of err) require('fs').writeSync(2, each + '\\n'); process.exit(${code})`;
            const { end, exitCode, signal, stdout, stderr } = await exec(process.execPath, ['-e', program], {
              ...TIMES,
              stdin: text,
              onStdoutLine: (each) => lines.push(`1${each}`),
              onStderrLine: (each) => lines.push(`2${each}`),
            });
            return { end, exitCode, signal, stdout, stderr, lines: lines.toSorted() };
          };
          expect(await said(spawner.exec)).toEqual(await said(direct));
        },
      ),
      { numRuns: 10 },
    );
  });

  test('lines that nobody takes yet wait with the program, and none is lost', async () => {
    await using spawner = new Spawner();
    const MB = 1024 * 1024;
    const pid = async (): Promise<number> => {
      await spawner.exec('true', [], TIMES);
      return spawnerOf(process.pid);
    };
    const own = await pid();
    const memory = (): number => Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${own}/status`, 'utf8'))?.[1]) * 1024;
    const before = memory();
    let most = 0;
    let lines = 0;
    const [line, bytes] = ['a line of some length, as builds write them', 200_000_000];
    const result = await spawner.exec('sh', ['-c', `yes '${line}' | head -c ${bytes}`], {
      ...TIMES,
      maxStdoutBytes: 1024,
      beyondStdout: 'cut',
      onStdoutLine() {
        if (++lines % 100_000 !== 0) return;
        // As busy as a server may be: the lines of a second come in the meantime.
        const until = performance.now() + 40;
        while (performance.now() < until);
        most = Math.max(most, memory());
      },
    });
    expect(result.end).toBe('exited');
    expect(lines).toBe(Math.ceil(bytes / (line.length + 1)));
    expect(most - before).toBeLessThan(120 * MB);
  });
});
