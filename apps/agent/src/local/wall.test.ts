import { createLogger, FloeError, type Exec, type ExecOptions, type ExecResult } from '@floe/runtime';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { FakeRequests, notice } from '../test/fake-requests.ts';
import { ManualClock } from '../test/manual-clock.ts';
import { until } from '../test/until.ts';
import { runWall, wallText } from './wall.ts';

const OK: ExecResult = { end: 'exited', exitCode: 0, signal: null, stdout: '', stderr: '', durationMs: 1 };

let requests: FakeRequests;
let clock: ManualClock;
let stopping: AbortController;
let running: Promise<void>;
let said: string[];
let log: string[];
let followers: number;
let isSomeoneHere: () => Promise<boolean>;
let exec: Exec;

beforeEach(() => {
  requests = new FakeRequests();
  clock = new ManualClock();
  stopping = new AbortController();
  said = [];
  log = [];
  followers = 0;
  isSomeoneHere = async () => true;
  exec = async (file, args, options?: ExecOptions) => {
    said.push([file, ...args, options?.stdin ?? ''].join(' '));
    return OK;
  };
  running = runWall(
    {
      notices: requests.notices,
      followerCount: () => followers,
      isSomeoneHere: async () => await isSomeoneHere(),
      exec: async (...args) => await exec(...args),
      env: {},
      clock,
      logger: createLogger({ level: 'debug', write: (line) => log.push(line) }),
    },
    stopping.signal,
  );
});
afterEach(async () => {
  stopping.abort();
  await running;
  expect(requests.listeners.size).toBe(0);
});

it('tells the people at the terminals once, in one line, with the command to answer', async () => {
  requests.say(notice('one', { body: 'It switches\nat 18:00' }));
  await clock.passed(30_000);
  await until(() => said.length === 1);
  expect(said).toEqual(['wall --timeout 10 Floe: A new system is ready. It switches at 18:00 (floe-agent later | floe-agent now)\n']);
  requests.say(notice('one'));
  requests.say(notice('two'));
  await clock.passed(30_000);
  await until(() => said.length === 2);
  requests.say(notice('one'));
  await clock.idle();
  requests.say(notice('three', { title: 'Third' }));
  await clock.passed(30_000);
  await until(() => said.length === 3);
  expect(said[2]).toContain('Floe: Third.');
});

it('leaves it to the desktop that follows, also when that comes back within the grace', async () => {
  requests.say(notice('one'));
  await clock.passed(29_999);
  followers = 1;
  await clock.passed(1);
  await clock.passed(60_000);
  expect(said).toEqual([]);
  followers = 0;
  await clock.passed(60_000);
  await until(() => said.length === 1);
});

it('waits until someone is there, and drops what was replaced meanwhile', async () => {
  isSomeoneHere = async () => false;
  requests.say(notice('one', { title: 'Old' }));
  await clock.passed(30_000);
  await clock.passed(60_000);
  requests.say(notice('two', { title: 'New', kind: 'restart-needed', actions: [] }));
  isSomeoneHere = async () => true;
  await clock.passed(30_000);
  await until(() => said.length === 1);
  expect(said[0]).toContain('Floe: New. It switches at 18:00 (floe-agent status)');
});

it('says nothing of what needs nobody, and nothing any more when there is nothing', async () => {
  requests.say(notice('one', { kind: 'switched' }));
  requests.say(notice('two'));
  requests.say(null);
  await clock.idle();
  requests.say(notice('three', { kind: 'put-back', actions: [] }));
  await clock.passed(30_000);
  await until(() => said.length === 1);
});

it('says that a machine needs its administrator', async () => {
  requests.say(notice('one', { kind: 'problem', actions: [] }));
  await clock.passed(30_000);
  await until(() => said.length === 1);
});

it('goes on when wall is missing, fails, or nobody can be counted', async () => {
  exec = async () => await Promise.reject(new FloeError('EXEC_NOT_STARTED', 'wall could not be started'));
  requests.say(notice('one'));
  await clock.passed(30_000);
  await until(() => log.join().includes('is util-linux in PATH?'));
  exec = async () => ({ ...OK, exitCode: 1, stderr: 'no terminals' });
  requests.say(notice('two'));
  await clock.passed(30_000);
  await until(() => log.join().includes('no terminals'));
  isSomeoneHere = async () => await Promise.reject(new Error('no logind'));
  requests.say(notice('three'));
  await clock.passed(30_000);
  await until(() => log.join().includes('no logind'));
});

it('is short, and cannot steer a terminal', () => {
  const text = wallText(notice('x', { title: '\x1b[2Jhi', body: 'y'.repeat(9_000), actions: [] }));
  expect(text).toMatch(/^Floe: hi\. y+… \(floe-agent status\)$/);
  expect(text.length).toBeLessThan(450);
});
