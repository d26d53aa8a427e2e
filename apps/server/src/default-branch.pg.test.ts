import { eventually, startGitOrigin, type GitOrigin } from '@floe/testkit';
import { FleetView } from '@floe/protocol';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { enrolHost, noBuilder, startTestServer, TestAgent, TOPLEVEL, type TestHost, type TestServer } from './test/test-server.ts';

// A whole server that no branch was set for, and a real git server.
vi.setConfig({ testTimeout: 60_000 });

let origin: GitOrigin;
beforeAll(async () => void (origin = await startGitOrigin()));
afterAll(async () => await origin[Symbol.asyncDispose]());

async function repositoryOf(server: TestServer): Promise<FleetView['repository']> {
  const response = await server.request('/api/fleet');
  return v.parse(FleetView, await response.json()).repository;
}

test('the branch that HEAD names is followed, stays when HEAD names another one, and that is said until it is over', async () => {
  const repository = await origin.repository('fleet');
  await repository.commit({ a: '1' }, 'unrelated');
  const env = { FLOE_REPOSITORY_URL: repository.url, FLOE_REPOSITORY_BRANCH: '', FLOE_POLL_SECONDS: '1' };
  await repository.setDefaultBranch('trunk');
  await using server = await startTestServer({ env });
  await eventually('nothing is known yet', async () => (await repositoryOf(server)).problem?.code === 'BRANCH_NOT_FOUND' || undefined);
  expect((await repositoryOf(server)).branch).toBe('');

  const head = await repository.commit({ a: '2' }, 'first', { branch: 'trunk' });
  const followed = await eventually('it is found', async () => {
    const shown = await repositoryOf(server);
    return shown.acceptedCommit === null ? undefined : shown;
  });
  expect(followed).toMatchObject({ branch: 'trunk', acceptedCommit: head, problem: null, notices: [] });

  await repository.setDefaultBranch('main');
  const notice = await eventually('it is said', async () => (await repositoryOf(server)).notices.find(({ code }) => code === 'DEFAULT_BRANCH_MOVED'));
  expect(notice.message).toContain('default branch is now main, and Floe goes on with trunk');
  expect(await repositoryOf(server)).toMatchObject({ branch: 'trunk', acceptedCommit: head });

  await repository.setDefaultBranch('trunk');
  await eventually('it is over', async () => (await repositoryOf(server)).notices.length === 0 || undefined);
});

test.each([
  ['branch', 'renamed', 'trunk'],
  ['repository address', 'moved', 'main'],
])('another %s in the settings takes the hosts along: they are shown, and told what they were told before', async (what, name, branch) => {
  const repository = await origin.repository(`fleet-${name}`);
  const next = what === 'branch' ? repository : await origin.repository(name);
  const dataDir = await mkdtemp(join(tmpdir(), 'floe-renamed-'));
  try {
    const started = async (url: string, of: string): Promise<TestServer> =>
      await startTestServer({ dataDir, env: { FLOE_REPOSITORY_URL: url, FLOE_REPOSITORY_BRANCH: of }, runPipeline: noBuilder });
    let ada: TestHost;
    {
      await using server = await started(repository.url, 'main');
      const { store } = server.context;
      ada = await enrolHost(store, await store.repositories.ensure({ url: repository.url, branch: 'main', now: 1 }), 'ada', TOPLEVEL);
    }
    await using server = await started(next.url, branch);
    const shown = v.parse(FleetView, await (await server.request('/api/fleet')).json());
    expect(shown.repository).toMatchObject({ branch, url: next.url });
    expect(shown.hosts.map(({ host }) => host)).toEqual(['ada']);
    expect(server.lines.join('')).toContain(`another ${what} is followed than before, by the same hosts`);
    await using agent = await TestAgent.welcome(server.url, ada);
    expect((await agent.next('directive')).envelope.type).toBe('floe/directive');
  } finally {
    await rm(dataDir, { recursive: true, force: true });
  }
});
