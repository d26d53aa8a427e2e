import { randomUUID } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { exec, execInTest } from '@floe/runtime';
import { eventually, exampleFleetFiles, startPostgres, TestFleet, testNixSettings, type PostgresServer } from '@floe/testkit';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

// Every test causes an outage during a push, and expects the fleet to reach the pushed state without help.

let fleet: TestFleet | undefined;
let postgres: PostgresServer | undefined;
/** Only root can create a disk small enough to fill. */
const mayMount = process.getuid?.() === 0;
let counter = 0;

afterEach(async () => {
  await fleet?.[Symbol.asyncDispose]();
  await postgres?.[Symbol.asyncDispose]();
  fleet = undefined;
  postgres = undefined;
});

function motd(text: string): Record<string, string> {
  return { 'hosts/ada.nix': `{ config, ... }: { environment.etc."motd" = "${text}"; }\n` };
}

async function start(options: Partial<Parameters<typeof TestFleet.create>[0]> = {}): Promise<TestFleet> {
  return await TestFleet.create({ files: await exampleFleetFiles(), nixConfig: testNixSettings, pollSeconds: 1, ...options });
}

async function pushed(on: TestFleet): Promise<string> {
  counter += 1;
  return await on.push(`Push ${counter}`, motd(`outage ${counter} in ${on.dir}`));
}

/** Ada's folder is on target, and the server knows it. */
async function converged(on: TestFleet, sha: string): Promise<void> {
  const revision = await on.settled(sha);
  expect(revision.state).toBe('PUBLISHED');
  const wanted = revision.hosts.find((each) => each.host === 'ada')?.toplevel;
  await eventually('ada runs what was pushed', async () => ((await on.machine('ada').observe()).profile === wanted ? true : undefined), {
    explain: () => on.machine('ada').agent.log(),
  });
  await eventually('the server knows', async () => ((await on.hostView('ada')).standing === 'in-sync' ? true : undefined), {
    explain: () => on.server.log(),
  });
}

async function logged(on: TestFleet, text: string): Promise<void> {
  await eventually(`the server logs "${text}"`, () => (on.server.log().includes(text) ? true : undefined), { explain: () => on.server.log() });
}

describe('on one fleet', () => {
  let shared: TestFleet;
  beforeAll(async () => {
    shared = await start();
    await shared.startServer();
    await shared.addMachine('ada');
    await converged(shared, await shared.git('-C', shared.workTree, 'rev-parse', 'HEAD'));
  });
  afterAll(async () => {
    await shared[Symbol.asyncDispose]();
  });

  // Each stage is recognised in the log, and the process is killed there by SIGKILL, without cleanup.
  it.each(['push received', 'a revision was taken in', '"state":"BUILDING"', 'directive sent'])(
    'the server killed at "%s" continues from there',
    async (stage) => {
      const dying = shared.server.killAt(stage);
      const sha = await pushed(shared);
      await dying;
      await shared.startServer();
      await converged(shared, sha);
    },
  );

  it.each(['DOWNLOADING', 'ACTIVATING', 'VERIFYING', 'COMMITTING'])('the agent killed in %s ends on what was pushed', async (state) => {
    const { agent } = shared.machine('ada');
    const dying = agent.killAt(`"state":"${state}"`);
    const sha = await pushed(shared);
    await dying;
    agent.start();
    await converged(shared, sha);
  });

  it('a second server or agent in the same folder is refused', async () => {
    const second = await exec(process.execPath, [...shared.server.command], {
      env: { ...shared.server.env, FLOE_LISTEN: '127.0.0.1:0' },
      timeoutMs: 20_000,
    });
    expect(second).toMatchObject({ exitCode: 1, stderr: expect.stringMatching(/another floe-server .*FLOE_DATA_DIR/) as string });
    const { agent } = shared.machine('ada');
    const twin = await exec(process.execPath, [...agent.command], { env: agent.env, timeoutMs: 20_000 });
    expect(twin).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('another floe-agent') as string });
  });

  it('the database restored from yesterday moves no machine back', async () => {
    const ada = shared.machine('ada');
    await shared.server.stop();
    const [database, yesterday] = [join(shared.dir, 'server/database'), join(shared.dir, 'yesterday')];
    await copy(database, yesterday);
    await shared.startServer();
    await converged(shared, await pushed(shared));
    await converged(shared, await pushed(shared));
    const before = await ada.observe();

    await shared.server.stop();
    await rm(database, { recursive: true });
    await copy(yesterday, database);
    await shared.startServer();
    await eventually(
      'ada is in sync with the newest release',
      async () => {
        const { standing, desired } = await shared.hostView('ada');
        return standing === 'in-sync' && desired?.toplevel === before.current ? true : undefined;
      },
      { explain: () => shared.server.log() },
    );
    expect(await ada.observe()).toEqual(before);
    await converged(shared, await pushed(shared));
  });

  it('the database lost altogether is rebuilt from the statements: no machine moves, and the next push goes on', async () => {
    const ada = shared.machine('ada');
    const last = await pushed(shared);
    await converged(shared, last);
    const before = await ada.observe();
    const sequence = (await shared.revision(last))?.sequence ?? 0;

    await shared.server.stop();
    await rm(join(shared.dir, 'server/database'), { recursive: true });
    await shared.startServer();
    await eventually('ada is known again', async () => ((await shared.hostView('ada')).standing === 'in-sync' ? true : undefined), {
      explain: () => shared.server.log(),
    });
    expect(await ada.observe()).toEqual(before);

    const next = await pushed(shared);
    await converged(shared, next);
    expect((await shared.revision(next))?.sequence).toBeGreaterThan(sequence);
  });

  it('the server ends on SIGTERM with status 0, and lets the port go', async () => {
    expect(await shared.server.stop('SIGTERM')).toBe(0);
    await expect(fetch(shared.serverUrl)).rejects.toThrow();
  });
});

describe('Postgres', () => {
  it('away at start: the server waits for it', async () => {
    postgres = await startPostgres();
    await postgres.stop();
    fleet = await start({ databaseUrl: postgres.url });
    fleet.server.start();
    await logged(fleet, 'the database does not answer');
    await postgres.start();
    await fleet.serverReady();
    await fleet.addMachine('ada');
    await converged(fleet, await fleet.git('-C', fleet.workTree, 'rev-parse', 'HEAD'));
  });

  it('away in the middle of a push: the server says so, keeps running and goes on', async () => {
    postgres = await startPostgres();
    fleet = await start({ databaseUrl: postgres.url });
    await fleet.startServer();
    await fleet.addMachine('ada');
    await converged(fleet, await fleet.git('-C', fleet.workTree, 'rev-parse', 'HEAD'));
    const sha = await pushed(fleet);
    await logged(fleet, `"commit":"${sha}"`);
    await postgres.stop();
    const serverUrl = fleet.serverUrl;
    await eventually('it says that it is not ready', async () => ((await fetch(`${serverUrl}/readyz`)).status === 503 ? true : undefined));
    expect((await fetch(`${serverUrl}/healthz`)).status).toBe(200);
    await postgres.start();
    await converged(fleet, sha);
    expect(fleet.server.isRunning).toBe(true);
  });
});

describe('Nix', () => {
  it('whose settings let no build start: each host says so and waits, and goes on once they are mended', async () => {
    const files = await exampleFleetFiles();
    // Systems that were never built on this machine.
    const module = (files['modules/base.nix'] ?? '').replace('This machine', `This machine ${randomUUID()}`);
    fleet = await start({ hasPostgres: true, files: { ...files, 'modules/base.nix': module } });
    await fleet.startServer({ NIX_CONFIG: `${testNixSettings}\nbuild-users-group = no-such-group` });
    const on = fleet;
    const sha = await on.git('-C', on.workTree, 'rev-parse', 'HEAD');
    await eventually(
      'its hosts say why they wait',
      async () =>
        (await on.revision(sha))?.hosts.some(({ error }) => /no build can be started.*no-such-group/s.test(error ?? '')) === true ? true : undefined,
      {
        explain: () => on.server.log(),
      },
    );
    await on.server.stop();
    await on.startServer();
    expect(await on.settled(sha)).toMatchObject({ state: 'PUBLISHED', error: null });
  });
});

describe('the cache', () => {
  it.skipIf(!mayMount)('whose disk is full: the revision says so, and goes on when there is room', async () => {
    fleet = await start({ hasPostgres: true });
    const cache = join(fleet.dir, 'server/cache');
    await mkdir(cache, { recursive: true });
    await mount('-t', 'tmpfs', '-o', 'size=600k', 'floe-test', cache);
    try {
      await fleet.startServer();
      await fleet.addMachine('ada');
      const blob = `{ config, ... }: { environment.etc."blob" = builtins.concatStringsSep "\\n" (builtins.genList (i: builtins.hashString "sha512" "\${toString i} ${fleet.dir}") 20000); }\n`;
      const sha = await fleet.push('Something large', { 'hosts/ada.nix': blob });
      const on = fleet;
      await eventually(
        'the revision says why it waits',
        async () => (/disk of \S+ is full/.test((await on.revision(sha))?.error ?? '') ? true : undefined),
        { explain: () => on.server.log() },
      );
      await mount('-o', 'remount,size=64m', cache);
      await converged(fleet, sha);
      await fleet.server.stop();
    } finally {
      await execInTest('umount', ['--lazy', cache]);
    }
  });

  it('with a tampered archive: the agent refuses it, and accepts the original later', async () => {
    fleet = await start({ hasPostgres: true });
    await fleet.startServer();
    await converged1(fleet);
    const sha = await pushed(fleet);
    const on = fleet;
    const revision = await eventually('it is published', async () => {
      const found = await on.revision(sha);
      return found?.state === 'PUBLISHED' ? found : undefined;
    });
    const toplevel = revision.hosts.find((each) => each.host === 'ada')?.toplevel ?? '';
    const restore = await fleet.tamperWithCache(toplevel);
    const ada = await fleet.addMachine('ada');
    await eventually('the agent refuses it', () => (ada.agent.log().includes('STORE_PATH_UNTRUSTED') ? true : undefined), {
      explain: () => ada.agent.log(),
    });
    await eventually('the server shows why', async () => (/trusted key signed/.test((await on.hostView('ada')).problem ?? '') ? true : undefined));
    expect((await ada.observe()).current).not.toBe(toplevel);
    await restore();
    await converged(fleet, sha);
  });
});

/** The first commit is published; no machine is enrolled yet. */
async function converged1(on: TestFleet): Promise<void> {
  expect((await on.settled(await on.git('-C', on.workTree, 'rev-parse', 'HEAD'))).state).toBe('PUBLISHED');
}

async function mount(...args: string[]): Promise<void> {
  const result = await execInTest('mount', args);
  expect(result.exitCode, result.stderr).toBe(0);
}

async function copy(from: string, to: string): Promise<void> {
  const result = await execInTest('cp', ['-a', from, to]);
  expect(result.exitCode, result.stderr).toBe(0);
}
