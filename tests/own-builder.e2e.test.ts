import { access, cp, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually, exampleFleetFiles, startPostgres, TestFleet, testNixSettings, type ServiceProcess } from '@floe/testkit';
import { afterAll, beforeAll, expect, test } from 'vitest';

// A builder as a process of its own, beside a server that holds no key but its own, on Postgres.

const stack = new AsyncDisposableStack();
let fleet: TestFleet;
let first: string;
beforeAll(async () => {
  const { url } = stack.use(await startPostgres());
  fleet = stack.use(
    await TestFleet.create({
      files: await exampleFleetFiles(),
      databaseUrl: url,
      hasOwnBuilder: true,
      // The server finds neither Nix nor git.
      serverEnv: { PATH: '/nowhere' },
      nixConfig: testNixSettings,
      pollSeconds: 1,
    }),
  );
  await fleet.startServer();
  await fleet.addMachine('ada');
  first = await fleet.git('-C', fleet.workTree, 'rev-parse', 'HEAD');
  expect(await fleet.settled(first)).toMatchObject({ state: 'PUBLISHED' });
});
afterAll(async () => await stack.disposeAsync());

let round = 0;
/** Pushes a commit that changes every host. */
async function pushChange(): Promise<string> {
  round += 1;
  const base = (await exampleFleetFiles())['modules/base.nix'] ?? '';
  const end = base.lastIndexOf('}');
  const text = `${base.slice(0, end)}  environment.etc."round" = "${round}";\n${base.slice(end)}`;
  return await fleet.push(`Round ${round}`, { 'modules/base.nix': text });
}

async function runsIt(sha: string): Promise<void> {
  const revision = await fleet.settled(sha);
  expect(revision).toMatchObject({ state: 'PUBLISHED' });
  const toplevel = revision.hosts.find(({ host }) => host === 'ada')?.toplevel;
  expect(toplevel).toBeDefined();
  await eventually('the host runs it', async () => ((await fleet.machine('ada').observe()).current === toplevel ? true : undefined), {
    explain: async () => `${fleet.builder?.log()}\n${fleet.server.log()}\n${JSON.stringify(await fleet.hostView('ada'))}`,
  });
}

function builder(): ServiceProcess {
  if (fleet.builder === undefined) throw new Error('the builder is inside the server');
  return fleet.builder;
}

test('a push is evaluated, built and signed by the builder, and reaches the host through a server without its keys', async () => {
  await runsIt(first);
  expect(await readdir(join(fleet.dir, 'server/keys'))).toEqual(['server.pem']);
  expect((await readdir(join(fleet.dir, 'builder/keys'))).toSorted()).toEqual(['cache.secret', 'release.pem']);
  for (const of of ['mirror.git', 'cache', 'roots', 'sandbox']) await expect(access(join(fleet.dir, 'server', of)), of).rejects.toThrow('ENOENT');
  expect(fleet.server.env['FLOE_REPOSITORY_TOKEN_FILE']).toBeUndefined();
  // Each has its own statements.
  const logged = async (of: string): Promise<number> => (await readdir(join(fleet.dir, of))).length;
  expect(await logged('builder/statements/releases')).toBeGreaterThan(0);
  expect(await logged('server/statements/releases')).toBe(0);
  expect(await logged('server/statements/access')).toBe(1);
  expect(await logged('builder/statements/access')).toBe(0);
});

test('a host goes back to an older release by a permit that the builder signs for the server', async () => {
  await runsIt(await pushChange());
  const pinned = await fleet.request('/api/hosts/ada/pin', { method: 'POST', body: JSON.stringify({ commit: first, reason: 'as it was' }) });
  expect(pinned.status, await pinned.text()).toBe(200);
  await runsPinned();
  await fleet.request('/api/hosts/ada/pin', { method: 'DELETE', body: JSON.stringify({ reason: 'done' }) });
});

async function runsPinned(): Promise<void> {
  const toplevel = (await fleet.revision(first))?.hosts.find(({ host }) => host === 'ada')?.toplevel;
  await eventually('the host is back', async () => ((await fleet.machine('ada').observe()).current === toplevel ? true : undefined), {
    explain: async () => `${builder().log()}\n${fleet.server.log()}\n${JSON.stringify(await fleet.hostView('ada'))}`,
  });
}

test('the builder is killed in each step, and goes on', async () => {
  for (const step of ['"state":"VERIFYING"', '"state":"EVALUATING"', '"state":"BUILDING"', 'hosts have their release']) {
    const killed = builder().killAt(step);
    const sha = await pushChange();
    await killed;
    builder().start();
    await runsIt(sha);
  }
});

test('of two builders one works, and the other takes over when that is cut off; what comes late of it changes nothing', async () => {
  await cp(join(fleet.dir, 'builder/keys'), join(fleet.dir, 'second/keys'), { recursive: true });
  await using second = fleet.newBuilder('second');
  second.start();
  await eventually('the second one waits', () => (second.log().includes('works for the servers') ? true : undefined), {
    explain: () => second.log(),
  });
  const sha = await pushChange();
  await eventually('it is being built', async () => ((await fleet.revision(sha))?.state === 'BUILDING' ? true : undefined), { everyMs: 20 }).catch(
    () => undefined,
  );
  builder().signal('SIGSTOP');
  try {
    await runsIt(sha);
    await runsIt(await pushChange());
    expect(second.log()).toContain('lease taken');
  } finally {
    builder().signal('SIGCONT');
  }
  await eventually('the first one knows that it lost its lease', () => (builder().log().includes('the lease was lost') ? true : undefined), {
    explain: () => builder().log(),
  });
  const last = await pushChange();
  await runsIt(last);
  expect(await readFile(join(fleet.dir, 'server/admin-token'), 'utf8')).not.toBe('');
});
