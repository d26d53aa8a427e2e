import { eventually, startGitOrigin, type GitOrigin } from '@floe/testkit';
import { FleetView } from '@floe/protocol';
import * as v from 'valibot';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { startTestServer, type TestServer } from './test/test-server.ts';

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
