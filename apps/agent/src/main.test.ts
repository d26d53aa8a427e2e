import { spawn, type ChildProcess } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CLOSE_CODES } from '@floe/protocol';
import { exec, generateKeyPem } from '@floe/runtime';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { newAuthorities } from './test/fixtures.ts';
import { TestServer } from './test/test-server.ts';
import { until } from './test/until.ts';

vi.setConfig({ testTimeout: 60_000, hookTimeout: 30_000 });

const MAIN = join(import.meta.dirname, 'main.ts');
const keys = newAuthorities();
let dir: string;
let server: TestServer;
let env: Record<string, string>;
const children: ChildProcess[] = [];

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-agent-main-'));
  server = await TestServer.start();
  const root = join(dir, 'machine');
  await mkdir(root);
  await writeFile(join(dir, 'token'), 'token-of-sixteen-characters');
  env = {
    PATH: process.env['PATH'] ?? '',
    NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'] ?? '',
    HOME: dir,
    FLOE_SERVER_URL: server.url,
    FLOE_HOST: 'ada',
    FLOE_ROOT: root,
    FLOE_ENROLMENT_TOKEN_FILE: join(dir, 'token'),
    FLOE_TRUSTED_RELEASE_KEYS: `release-1:${keys.release.publicKey}`,
    FLOE_TRUSTED_SERVER_KEYS: `server-1:${keys.server.publicKey}`,
    FLOE_SUBSTITUTERS: `file://${dir}/cache`,
    FLOE_TRUSTED_PUBLIC_KEYS: `cache-1:${keys.server.publicKey}`,
    FLOE_LOG_LEVEL: 'debug',
  };
});
afterEach(async () => {
  for (const child of children.splice(0)) await end(child, 'SIGKILL');
  await server[Symbol.asyncDispose]();
  await rm(dir, { recursive: true });
});

interface Running {
  readonly child: ChildProcess;
  readonly log: () => string;
}

function start(): Running {
  const child = spawn(process.execPath, [MAIN, 'run'], { env, stdio: ['ignore', 'ignore', 'pipe'] });
  children.push(child);
  let text = '';
  child.stderr?.on('data', (chunk: Buffer) => (text += chunk.toString('utf8')));
  return { child, log: () => text };
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<number | NodeJS.Signals | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode ?? child.signalCode;
  const ended = new Promise<number | NodeJS.Signals | null>((resolve) => child.once('close', (code, killedBy) => resolve(code ?? killedBy)));
  child.kill(signal);
  return await ended;
}

async function run(...args: string[]) {
  return await exec(process.execPath, [MAIN, ...args], { env, timeoutMs: 30_000 });
}

test('the daemon enrols, connects, and ends with 0 when it is told to stop', async () => {
  const { child, log } = start();
  await until(() => log().includes('"connected"'));
  expect(server.enrolments).toHaveLength(1);
  expect(await end(child, 'SIGTERM')).toBe(0);
  for (const line of log().trim().split('\n')) expect(JSON.parse(line)).toMatchObject({ host: 'ada' });
  expect(await readdir(join(dir, 'machine/var/lib/floe-agent'))).not.toContain('lock');
});

test('a second agent on the same state says so and ends; after a kill -9 the next one takes over', async () => {
  const first = start();
  await until(() => first.log().includes('"connected"'));
  const second = await run('run');
  expect(second.exitCode).toBe(1);
  expect(second.stderr).toContain(`another floe-agent (process ${first.child.pid}) runs on`);
  await end(first.child, 'SIGKILL');
  const third = start();
  await until(() => third.log().includes('"connected"'));
  expect(server.enrolments).toHaveLength(1);
});

test('an agent that nobody enrolled stays up, says what to do, and enrols as soon as there is a token', async () => {
  await rm(join(dir, 'token'));
  const { log, child } = start();
  await until(() => log().includes('"connected"'));
  expect(log()).toContain('runs \\"floe enrol ada\\" to get a one-time token');
  await end(child, 'SIGTERM');
  // The server knows no such key, until it is enrolled.
  server.onHello = (peer) => {
    if (server.enrolments.length > 0) peer.send({ type: 'welcome', serverTime: Date.now(), reportSeq: 0 });
    else {
      peer.send({ type: 'refusal', code: 'HOST_NOT_ENROLLED', message: 'no agent is enrolled for ada: run "floe enrol ada"' });
      peer.socket.close(CLOSE_CODES.unauthorized, 'HOST_NOT_ENROLLED');
    }
  };
  const refused = start();
  await until(() => refused.log().includes('HOST_NOT_ENROLLED'));
  const status = await run('status', '--verbose');
  expect([status.exitCode, status.stdout]).toEqual([0, expect.stringContaining('run "floe enrol ada" (HOST_NOT_ENROLLED)')]);
  expect((await run('status')).stdout).toContain('until an administrator helps (HOST_NOT_ENROLLED)');
  expect(refused.child.exitCode).toBeNull();
  await writeFile(join(dir, 'token'), 'token-of-sixteen-characters');
  await until(() => refused.log().includes('"connected"'));
  expect((await run('status', '--verbose')).stdout).not.toContain('HOST_NOT_ENROLLED');
});

test('a machine without its key file stays up, and says which file it misses', async () => {
  const keyFile = join(dir, 'host-key');
  env = { ...env, FLOE_IDENTITY_KEY_FILE: keyFile, FLOE_SLOW_RETRY_SECONDS: '1' };
  const { log } = start();
  await until(() => log().includes('IDENTITY_KEY_MISSING'));
  await vi.waitFor(async () => expect((await run('status', '--verbose')).stdout).toContain(`there is no ${keyFile}`), {
    timeout: 20_000,
    interval: 100,
  });
  await writeFile(keyFile, generateKeyPem(), { mode: 0o600 });
  await until(() => log().includes('"connected"'));
  expect(JSON.parse((await run('identity', '--json')).stdout)).toMatchObject({ keyFile });
});

test('wrong settings end with 2 and all problems at once', async () => {
  env = { ...env, FLOE_HOST: 'no good', FLOE_LOG_LEVEL: 'loud' };
  const result = await run('run');
  expect(result.exitCode).toBe(2);
  expect(result.stderr).toContain('FLOE_HOST is "no good"');
  expect(result.stderr).toContain('FLOE_LOG_LEVEL is "loud"');
});

test('a broken journal is moved aside and the agent starts', async () => {
  const state = join(dir, 'machine/var/lib/floe-agent');
  await mkdir(state, { recursive: true });
  await writeFile(join(state, 'journal.json'), 'not a journal');
  const { log } = start();
  await until(() => log().includes('"connected"'));
  expect(log()).toContain('the journal cannot be read and was moved aside');
});

test('status and identity show what is there, for people and for programs', async () => {
  expect((await run('status')).stderr).toContain('no agent has run here yet');
  const { log, child } = start();
  await until(() => log().includes('"connected"'));
  await end(child, 'SIGTERM');
  expect((await run('status', '--verbose')).stdout).toContain('no directive received yet');
  expect((await run('status')).stdout).toContain('Its last state: There is no update for your computer.');
  expect(JSON.parse((await run('status', '--json')).stdout)).toMatchObject({ state: 'IDLE', desired: null, observed: { current: null } });
  const identity = JSON.parse((await run('identity', '--json')).stdout) as Record<string, unknown>;
  expect(identity).toMatchObject({ machineId: (await readFile(join(dir, 'machine/etc/machine-id'), 'utf8')).trim(), isEnrolled: true });
  expect((await run('identity')).stdout).toContain(String(identity['publicKey']));
});

test('the command line explains itself', async () => {
  const help = await run('--help');
  expect([help.exitCode, help.stdout]).toEqual([0, expect.stringContaining('FLOE_ENROLMENT_TOKEN_FILE')]);
  expect((await run('--version')).stdout).toMatch(/^floe-agent \d+\.\d+\.\d+\n$/);
  for (const args of [[], ['dance'], ['run', '--rot']]) {
    const wrong = await run(...args);
    expect([wrong.exitCode, wrong.stderr]).toEqual([2, expect.stringContaining('floe-agent --help')]);
  }
});
