import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exec, execInTest, systemClock, type Exec, type Logger } from '@floe/runtime';
import { eventually } from '@floe/testkit';
import * as fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { withoutSystemd } from '../../test/without-systemd.ts';
import { holderOf, SwitchLock } from './switch-lock.ts';

const LIMIT_MS = 900_000;
const logged: string[] = [];
const note = (message: string, { heldBy = '' }: { readonly heldBy?: string } = {}): void => void logged.push(`${message}: ${heldBy}`);
const logger = { warn: note, error: note } as unknown as Logger;

let dir: string;
let file: string;
let passed: number;
const children: ChildProcess[] = [];
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-lock-'));
  file = join(dir, 'lock');
  await writeFile(file, '');
  passed = 0;
  logged.length = 0;
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  await rm(dir, { recursive: true });
});

/** A process that really holds the lock, until it is ended. */
async function hold(first = ':'): Promise<ChildProcess> {
  return await start(['flock', '--no-fork', file, '/bin/sh', '-c', `${first}; echo held; exec sleep 600`]);
}

/** Starts a program that goes on, and waits for its first word. */
async function start([program, ...args]: readonly [string, ...string[]]): Promise<ChildProcess> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  children.push(child);
  await once(child.stdout, 'data');
  return child;
}

/** The lock as an agent sees it whose time is the test's. `patience`: how much of it goes by in each look. */
function lock({ patience = 0, run = exec }: { readonly patience?: number; readonly run?: Exec } = {}): SwitchLock {
  const clock = {
    ...systemClock,
    monotonic: () => passed,
    sleep: async (ms: number) => {
      passed += patience;
      await systemClock.sleep(ms);
    },
  };
  return new SwitchLock({ exec: withoutSystemd(run), env: { PATH: process.env['PATH'] }, clock, logger, limitMs: LIMIT_MS, file });
}

test('nobody holds a lock that is free, or that was never there', async () => {
  expect(await lock().heldBy()).toBeNull();
  await rm(file);
  expect(await lock().heldBy()).toBeNull();
  await writeFile(file, '');
});

test('who holds it is named, and left alone for as long as a switch may take', async () => {
  const child = await hold();
  const own = lock();
  expect(await own.heldBy()).toContain(`process ${child.pid}`);
  passed += LIMIT_MS - 1;
  expect(await own.heldBy()).toContain(`process ${child.pid}`);
  expect(logged).toEqual([]);
});

test('a lock that outlives who took it is held by whoever has the file still', async () => {
  const child = await start(['/bin/sh', '-c', `exec 9>${file}; flock 9; echo held; exec sleep 600`]);
  expect(await lock().heldBy()).toContain(`process ${child.pid}`);
});

test('one that is stuck is ended', async () => {
  const child = await hold();
  const ended = once(child, 'exit');
  const own = lock();
  await own.heldBy();
  passed += LIMIT_MS;
  expect(await own.heldBy()).toBeNull();
  expect(await ended).toEqual([null, 'SIGTERM']);
  expect(logged).toEqual([expect.stringMatching(`^another switch is stuck, and is ended: .*process ${child.pid}`)]);
});

test('also one that does not listen', async () => {
  const child = await hold('trap "" TERM');
  const ended = once(child, 'exit');
  const own = lock({ patience: 5_000 });
  await own.heldBy();
  passed += LIMIT_MS;
  expect(await own.heldBy()).toBeNull();
  expect(await ended).toEqual([null, 'SIGKILL']);
});

test('what cannot be ended is still named', async () => {
  const child = await hold();
  const own = lock({ patience: 5_000, run: async () => await execInTest('false', []) });
  await own.heldBy();
  passed += LIMIT_MS;
  expect(await own.heldBy()).toContain(`process ${child.pid}`);
  expect(logged.at(-1)).toMatch(/^a switch that is stuck could not be ended: /);
});

test('a second switch has the whole time to itself', async () => {
  const first = await hold();
  const own = lock();
  await own.heldBy();
  passed += LIMIT_MS - 1;
  const gone = once(first, 'exit');
  first.kill('SIGKILL');
  await gone;
  const second = await hold();
  expect(await own.heldBy()).toContain(`process ${second.pid}`);
  passed += LIMIT_MS - 1;
  expect(await own.heldBy()).toContain(`process ${second.pid}`);
});

test('however many hold it one after the other, all of them have the time of two switches', async () => {
  const turns = fc.array(fc.integer({ min: LIMIT_MS / 5, max: LIMIT_MS - 1 }), { minLength: 1, maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(turns, async (lengths) => {
      const own = lock();
      expect(await own.heldBy()).toBeNull();
      let isFree = true;
      let together = 0;
      for (const length of [0, ...lengths]) {
        together = isFree ? 0 : together + length;
        passed += length;
        const child = await hold();
        const gone = once(child, 'exit');
        const heldBy = await own.heldBy();
        isFree = together >= 2 * LIMIT_MS;
        const after = isFree ? await own.heldBy() : heldBy;
        child.kill('SIGKILL');
        await gone;
        expect([heldBy, after]).toEqual(isFree ? [null, null] : [after, expect.stringContaining(`process ${child.pid}`)]);
      }
    }),
    { numRuns: 15 },
  );
});

test('a lock is known by its device and its number, and who waits for it does not hold it', () => {
  const locks = [
    '1: FLOCK  ADVISORY  WRITE 412 00:1a:5678 0 EOF',
    '1: -> FLOCK  ADVISORY  WRITE 999 00:1a:5678 0 EOF',
    '2: POSIX  ADVISORY  READ 7 103:10001:5678 0 EOF',
    '3: FLOCK  ADVISORY  WRITE 0 00:1a:42 0 EOF',
  ].join('\n');
  expect(holderOf(locks, { dev: 0x1an, ino: 5678n })).toBe(412);
  // makedev(0x103, 0x10001).
  expect(holderOf(locks, { dev: 0x10010301n, ino: 5678n })).toBe(7);
  expect(holderOf(locks, { dev: 0x801n, ino: 5678n })).toBeUndefined();
  expect(holderOf(locks, { dev: 0x1an, ino: 42n })).toBe(0);
});

describe.runIf(process.getuid?.() === 0)('users without root', () => {
  const AS_USER = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--'] as const;

  beforeEach(async () => {
    await chmod(dir, 0o755);
    // As NixOS makes it.
    await chmod(file, 0o644);
  });

  /** Programs of a user, which opened the file before, and take the lock again and again: one of them always has it, or waits for it. */
  async function loops(): Promise<void> {
    const loop = `exec 9<${file}; echo open; while :; do flock 9; sleep 0.05; flock --unlock 9; done`;
    await Promise.all(Array.from({ length: 3 }, async () => await start([...AS_USER, '/bin/sh', '-c', loop])));
  }

  /** Takes the lock as NixOS's own switch does: appending, and at once or not at all. */
  async function canSwitch(): Promise<boolean> {
    return (await execInTest('/bin/sh', ['-c', 'exec 9>>"$1" && flock --nonblock 9', 'sh', file])).exitCode === 0;
  }

  const mode = async (): Promise<string> => ((await stat(file)).mode & 0o777).toString(8);

  test('cannot open it once the agent looked, whoever made it', async () => {
    for (const makes of [async () => await Promise.resolve(), async () => await rm(file)]) {
      await makes();
      expect(await lock().heldBy()).toBeNull();
      expect(await mode()).toBe('600');
      expect((await execInTest(AS_USER[0], [...AS_USER.slice(1), 'flock', '--nonblock', file, 'true'])).exitCode).not.toBe(0);
      expect(await canSwitch()).toBe(true);
    }
    expect(await readdir(dir)).toEqual(['lock']);
  });

  test('who had opened it before hold up nothing', async () => {
    await loops();
    await eventually('they hold it', async () => ((await canSwitch()) ? undefined : true));
    const own = lock();
    expect(await own.heldBy()).toBeNull();
    for (let n = 0; n < 20; n += 1) expect(await canSwitch()).toBe(true);
    expect(await own.heldBy()).toBeNull();
  });

  test('… nor do they after a switch that was under way when the agent looked first', async () => {
    const switching = await hold();
    await loops();
    const own = lock();
    expect(await own.heldBy()).toContain(`process ${switching.pid}`);
    const gone = once(switching, 'exit');
    switching.kill('SIGKILL');
    await gone;
    expect(await own.heldBy()).toBeNull();
    expect(await canSwitch()).toBe(true);
  });

  test('… nor do they by a setuid program that they started with it open, as su is until it knows the password', async () => {
    const asking = await start(['setpriv', '--ruid=65534', '--', 'flock', '--no-fork', file, 'tail', '--lines=1', '--follow', '/etc/passwd']);
    expect(await lock().heldBy()).toBeNull();
    expect(logged).toEqual([expect.stringMatching(`^users held the lock of switches, and do no longer: .*process ${asking.pid} of user nobody`)]);
    expect(asking.exitCode).toBeNull();
    expect(await canSwitch()).toBe(true);
  });

  test('… and are named where root has the file open, too, and ended at the limit', async () => {
    const waiting = spawn('/bin/sh', ['-c', `exec 9>>${file}; echo open; exec sleep 600`], { stdio: ['ignore', 'pipe', 'ignore'] });
    children.push(waiting);
    await once(waiting.stdout, 'data');
    const user = await start([...AS_USER, 'flock', '--no-fork', file, '/bin/sh', '-c', 'echo held; exec sleep 600']);
    const ended = once(user, 'exit');
    const own = lock();
    expect(await own.heldBy()).toContain(`process ${user.pid} of user nobody`);
    expect(await mode()).toBe('700');
    passed += LIMIT_MS;
    expect(await own.heldBy()).toBeNull();
    expect(await ended).toEqual([null, 'SIGTERM']);
    expect(await mode()).toBe('600');
    expect(await canSwitch()).toBe(true);
  });
});
