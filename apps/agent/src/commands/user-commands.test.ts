import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { FloeError, silentLogger, type Env } from '@floe/runtime';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runCli } from '../cli.ts';
import { AFTER, BEFORE, CHANGES, FakeRequests, STATUS } from '../test/fake-requests.ts';
import { serveUserSocket, type UserSocket } from '../local/socket.ts';
import { ENGLISH } from '../text/words/languages.ts';
import { refusalInWords } from './refusal.ts';

let dir: string;
let requests: FakeRequests;
let socket: UserSocket;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-user-'));
  requests = new FakeRequests();
  socket = await serveUserSocket({ path: join(dir, 'run/floe-agent/socket'), group: undefined, handlers: requests, logger: silentLogger });
});
afterEach(async () => {
  await socket[Symbol.asyncDispose]();
  await rm(dir, { recursive: true });
});

interface Ran {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command; `typed` is what a person types on the terminal, undefined: there is no terminal. */
async function run(args: readonly string[], typed?: string, env: Env = {}): Promise<Ran> {
  let stdout = '';
  let stderr = '';
  const stdin = Object.assign(new PassThrough(), { isTTY: typed !== undefined });
  stdin.end(typed);
  const exitCode = await runCli({
    args,
    env: { FLOE_ROOT: dir, ...env },
    version: '0.1.0',
    signal: new AbortController().signal,
    timeZone: () => 'UTC',
    random: () => 0.5,
    stdin,
    stdout: (text) => (stdout += text),
    stderr: (text) => (stderr += text),
  });
  return { exitCode, stdout, stderr };
}

describe('commands', () => {
  it('says of a held download that "now" downloads it, and not that the update begins', async () => {
    const wait = { what: 'download' as const, codes: ['METERED'], startsAt: null, latestAt: null, programs: [] };
    requests.statusAnswer = { ...STATUS, wait };
    expect((await run(['now'])).stdout).toBe('Your computer downloads the update now.\n');
    expect(requests.asked).toEqual(['now']);
  });

  it('ask the running agent, and tell people', async () => {
    expect(await run(['status', '--verbose'])).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('the battery is at 20 %') as string });
    expect((await run(['status'])).stdout).toMatch(/^Your computer will update when it is plugged in/);
    expect((await run(['later', '1h30m'])).stdout).toBe(
      'The update waits until 1 March 2026 at 14:00, the longest that is allowed now. It can be put off once more.\n',
    );
    requests.laterAnswer = { kind: 'ok', until: Date.UTC(2100, 2, 1, 14), laterLeft: 1 };
    expect((await run(['later', '1h30m'])).stdout).toBe('The update waits until 1 March 2100 at 14:00. It can be put off once more.\n');
    requests.laterAnswer = { kind: 'ok', until: Date.UTC(2026, 2, 1, 14), laterLeft: 0 };
    expect((await run(['later'])).stdout).toContain('It cannot be put off again.');
    // Longer than any machine allows is as long as this one does.
    expect((await run(['later', '90d'])).stdout).toMatch(/^The update waits until .*, the longest that is allowed now\./);
    expect((await run(['now'])).stdout).toContain('It begins.');
    expect((await run(['rollback'])).stdout).toContain('Your computer goes back.');
    expect((await run(['resume'])).stdout).toBe('Your computer takes its updates again.\n');
    expect((await run(['changes'])).stdout).toContain('firefox  130.0 → 131.0');
    expect(requests.asked).toEqual([['later', 90], ['later', 90], ['later', undefined], ['later', 31 * 24 * 60], 'now', 'rollback', 'resume']);
  });

  it('answer with one JSON object for programs', async () => {
    const json = async (...args: string[]): Promise<unknown> => JSON.parse((await run([...args, '--json'])).stdout);
    expect(await json('status')).toEqual({ isRunning: true, ...STATUS });
    expect(await json('later', '2h')).toEqual({ until: Date.UTC(2026, 2, 1, 14), laterLeft: 1 });
    expect(await json('now')).toEqual({ toplevel: AFTER });
    expect(await json('rollback')).toEqual({ toplevel: BEFORE });
    expect(await json('resume')).toEqual({ toplevel: null });
    expect(await json('changes')).toEqual(CHANGES);
  });

  it('end with 1 and the reason when the agent refuses', async () => {
    requests.rollbackAnswer = { kind: 'refused', code: 'NO_PREVIOUS_SYSTEM', message: 'there is nothing to go back to' };
    expect(await run(['rollback'])).toEqual({ exitCode: 1, stdout: '', stderr: 'There is nothing to go back to.\n' });
    expect((await run(['rollback', '--verbose'])).stderr).toBe('there is nothing to go back to\n');
  });

  it('end with 1 and what to do when no agent runs', async () => {
    await socket[Symbol.asyncDispose]();
    for (const command of ['later', 'now', 'rollback', 'resume', 'changes'])
      expect(await run([command])).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('sudo systemctl start floe-agent') as string });
    expect(await run(['status'])).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('no agent has run here yet') as string });
  });

  it('say so in the language of the reader, without what only administrators know', async () => {
    await socket[Symbol.asyncDispose]();
    const german = { LANG: 'de_DE.UTF-8' };
    const words = 'Die Aktualisierungen dieses Computers sind angehalten (sudo systemctl start floe-agent).\n';
    expect(await run(['now'], undefined, german)).toEqual({ exitCode: 1, stdout: '', stderr: words });
    expect((await run(['now', '--verbose'], undefined, german)).stderr).toContain('journalctl -u floe-agent');
  });

  it.each([
    ['one who is not of the group', { group: 'floe' }, /^Only root and the group floe may .* to the group floe \(then log in again\)\.$/],
    ['all but root', { group: undefined }, /^Only root may do that on this computer: use sudo\.$/],
  ])('say to %s who may', (_who, data, words) => {
    expect(refusalInWords(new FloeError('NOT_ALLOWED', 'no', { data }), ENGLISH.words)).toMatch(words);
  });

  it.each([
    [['later', 'soon'], '"soon" is not a duration'],
    [['later', '1h', '2h'], 'unexpected argument "2h"'],
    [['rollback', 'please'], 'unexpected argument "please"'],
    [['changes', '41', 'new'], '"new" is not the number of a generation'],
    [['changes', '1', '2', '3'], 'unexpected argument "3"'],
    [['now', '--hard'], '--hard'],
  ])('%j is wrong usage', async (args, text) => {
    const { exitCode, stderr } = await run(args);
    expect([exitCode, stderr]).toEqual([2, expect.stringMatching(new RegExp(`${text}.*--help`, 's'))]);
    expect(requests.asked).toEqual([]);
  });

  it('say which generation is not there', async () => {
    expect(await run(['changes', '41'])).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('--list-generations') as string });
  });

  it.each(['status', 'later', 'now', 'rollback', 'resume', 'changes', 'notify'])('%s explains itself, with examples', async (command) => {
    const { exitCode, stdout } = await run([command, '--help']);
    expect([exitCode, stdout]).toEqual([
      0,
      expect.stringMatching(new RegExp(`^floe-agent ${command}: .*Usage: floe-agent ${command}.*Examples\n`, 's')),
    ]);
    expect((await run(['help', command])).stdout).toBe(stdout);
    expect(requests.asked).toEqual([]);
  });
});

describe('rollback on a terminal', () => {
  it.each([
    ['y\n', ['rollback']],
    ['Yes\n', ['rollback']],
    ['\n', []],
    ['no\n', []],
    ['yesterday\n', []],
    ['', []],
  ])('asks, and takes %j', async (typed, asked) => {
    const { exitCode, stderr } = await run(['rollback'], typed);
    expect([exitCode, requests.asked]).toEqual([asked.length === 0 ? 1 : 0, asked]);
    expect(stderr).toContain('Go back to how this computer was');
  });

  it('does not ask with --yes', async () => {
    expect(await run(['rollback', '--yes'], '')).toMatchObject({ exitCode: 0, stderr: '' });
    expect(requests.asked).toEqual(['rollback']);
  });
});
