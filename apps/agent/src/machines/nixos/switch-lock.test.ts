import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exec, execInTest, systemClock, type Exec, type Logger } from '@floe/runtime';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { holderOf, SwitchLock } from './switch-lock.ts';

const LIMIT_MS = 900_000;
const logged: string[] = [];
const note = (message: string): void => void logged.push(message);
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
  const child = spawn('flock', ['--no-fork', file, '/bin/sh', '-c', `${first}; echo held; exec sleep 600`], { stdio: ['ignore', 'pipe', 'ignore'] });
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
  return new SwitchLock({ exec: run, env: { PATH: process.env['PATH'] }, clock, logger, limitMs: LIMIT_MS, file });
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
  const child = spawn('/bin/sh', ['-c', `exec 9>${file}; flock 9; echo held; exec sleep 600`], { stdio: ['ignore', 'pipe', 'ignore'] });
  children.push(child);
  await once(child.stdout, 'data');
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
  expect(logged).toEqual(['another switch is stuck, and is ended']);
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
  expect(logged.at(-1)).toBe('a switch that is stuck could not be ended');
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
