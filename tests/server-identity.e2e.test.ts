import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { execInTest, type ExecResult } from '@floe/runtime';
import { eventually, exampleFleetFiles, ServiceProcess, startPostgres, TestFleet, testNixSettings, type PostgresServer } from '@floe/testkit';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';

// One Postgres, and more servers than one.

let postgres: PostgresServer;
let fleet: TestFleet;
const others: ServiceProcess[] = [];

beforeAll(async () => {
  postgres = await startPostgres();
  fleet = await TestFleet.create({ files: await exampleFleetFiles(), nixConfig: testNixSettings, pollSeconds: 1, databaseUrl: postgres.url });
  await fleet.startServer();
  await fleet.addMachine('ada');
  await fleet.settled(await fleet.git('-C', fleet.workTree, 'rev-parse', 'HEAD'));
});
afterEach(async () => {
  for (const other of others.splice(0)) await other[Symbol.asyncDispose]();
});
afterAll(async () => {
  await fleet[Symbol.asyncDispose]();
  await postgres[Symbol.asyncDispose]();
});

function envOf(name: string, env: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  return { ...fleet.server.env, FLOE_DATA_DIR: join(fleet.dir, name), FLOE_LISTEN: '127.0.0.1:0', ...env };
}

/** Runs a server that is expected to be refused. */
async function runOther(name: string, env: NodeJS.ProcessEnv = {}): Promise<ExecResult> {
  return await execInTest(process.execPath, [...fleet.server.command], { env: envOf(name, env), timeoutMs: 60_000 });
}

/** Starts a server that is expected to work. */
function startOther(name: string, env: NodeJS.ProcessEnv = {}): ServiceProcess {
  const other = new ServiceProcess({ name, main: fleet.server.command[0] ?? '', env: envOf(name, env) });
  others.push(other);
  other.start();
  return other;
}

async function listens(server: ServiceProcess): Promise<void> {
  await eventually('it works', () => (server.log().includes('"listening"') ? true : undefined), { timeoutMs: 60_000, explain: () => server.log() });
}

/** An agent that looks for the server while it is down may be given the very port by the kernel, for a moment. */
async function startFirst(): Promise<void> {
  await eventually(
    'the first server works',
    async () => {
      if (!fleet.server.isRunning) fleet.server.start();
      return (await fetch(`${fleet.serverUrl}/readyz`)).ok ? true : undefined;
    },
    { timeoutMs: 60_000, explain: () => fleet.server.log() },
  );
}

async function hasServed(): Promise<void> {
  await eventually('ada is served by the first server', async () => ((await fleet.hostView('ada')).isConnected ? true : undefined), {
    timeoutMs: 60_000,
    explain: () => fleet.server.log(),
  });
}

async function copyDataFolder(name: string): Promise<void> {
  const copied = await execInTest('cp', ['-a', join(fleet.dir, 'server'), join(fleet.dir, name)]);
  expect(copied.exitCode, copied.stderr).toBe(0);
}

it('a server with keys of its own is refused in one sentence, and does nothing to the hosts of the first', async () => {
  for (const round of ['without keys', 'with keys']) {
    if (round === 'with keys') {
      const made = startOther('stranger', { DATABASE_URL: await postgres.createDatabase() });
      await listens(made);
      await made.stop();
    }
    const refused = await runOther('stranger');
    expect(refused.exitCode, round).toBe(1);
    expect(refused.stderr).toMatch(
      /the database belongs to the server with the release key .* set another DATABASE_URL;.* keys\/ .* FLOE_TAKE_OVER_FROM=/,
    );
    expect(refused.stderr).not.toMatch(/^\s+at /m);
  }
  expect(fleet.server.isRunning).toBe(true);
  expect((await fleet.hostView('ada')).isConnected).toBe(true);
});

it('a copy of the data folder is refused while the first server lives; one that was frozen so long that the copy took over ends', async () => {
  await copyDataFolder('copy');
  const refused = await runOther('copy');
  expect(refused).toMatchObject({
    exitCode: 1,
    stderr: expect.stringMatching(/another floe-server works on this database \(process \d+ on /) as string,
  });
  expect((await fleet.hostView('ada')).isConnected).toBe(true);

  process.kill(fleet.server.pid ?? 0, 'SIGSTOP');
  const copy = startOther('copy');
  await listens(copy);
  process.kill(fleet.server.pid ?? 0, 'SIGCONT');
  await eventually('the first one ends', () => (fleet.server.isRunning ? undefined : true), { timeoutMs: 60_000 });
  expect(fleet.server.log()).toContain('another floe-server took this database');
  const back = await execInTest(process.execPath, [...fleet.server.command], { env: fleet.server.env, timeoutMs: 60_000 });
  expect(back).toMatchObject({ exitCode: 1, stderr: expect.stringContaining(`data folder ${join(fleet.dir, 'copy')}`) as string });
  await copy.stop();
  await startFirst();
  await hasServed();
});

it('a restart after a kill goes on at once, and keys that are lost are not recreated in silence', async () => {
  await fleet.server.stop('SIGKILL');
  await startFirst();
  expect(fleet.server.log()).not.toContain('checking whether it is alive');
  await hasServed();

  await fleet.server.stop();
  await copyDataFolder('lost');
  await rm(join(fleet.dir, 'lost/keys/release.pem'));
  const refused = await runOther('lost');
  expect(refused).toMatchObject({ exitCode: 1, stderr: expect.stringMatching(/release\.pem is missing here/) as string });
  await startFirst();
});

it('a take-over that is meant is done once it names the other server’s key', async () => {
  await fleet.server.stop();
  const before = await runOther('heir');
  const key = /FLOE_TAKE_OVER_FROM=(\S+)/.exec(before.stderr)?.[1] ?? '';
  const heir = startOther('heir', { FLOE_TAKE_OVER_FROM: key });
  await listens(heir);
  await heir.stop();
  const first = await execInTest(process.execPath, [...fleet.server.command], { env: fleet.server.env, timeoutMs: 60_000 });
  expect(first).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('the database belongs to the server with the release key') as string });
});
