import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execInTest } from '@floe/runtime';
import { expect, test } from 'vitest';
import { ISOLATED_GIT_ENV } from './git-http-server.ts';
import { LocalForge } from './local-forge.ts';
import { eventually } from './service-process.ts';

test('a push that was made silently is never announced, however late the forge looks', async () => {
  await using stack = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), 'floe-forge-'));
  stack.defer(async () => await rm(dir, { recursive: true, force: true }));
  const hooks = createServer((_request, response) => response.writeHead(202).end());
  await new Promise<void>((resolve) => hooks.listen(0, '127.0.0.1', resolve));
  stack.defer(async () => await new Promise<void>((resolve) => void hooks.close(() => resolve())));
  stack.defer(() => hooks.closeAllConnections());
  const address = hooks.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  const forge = new LocalForge({
    projectRoot: dir,
    repository: 'ice/fleet',
    webhookSecret: 'w',
    token: 't',
    webhookUrl: `http://127.0.0.1:${port}/`,
  });
  stack.use(forge);
  await forge.listen();
  const work = join(dir, 'work');
  await mkdir(work);
  const env = { ...process.env, ...ISOLATED_GIT_ENV, GIT_AUTHOR_NAME: 'A', GIT_AUTHOR_EMAIL: 'a', GIT_COMMITTER_NAME: 'A', GIT_COMMITTER_EMAIL: 'a' };
  const git = async (...args: string[]): Promise<string> => {
    const result = await execInTest('git', args, { cwd: work, env });
    if (result.exitCode !== 0) throw new Error(result.stderr);
    return result.stdout.trim();
  };
  await git('init', '-q', '--bare', forge.bareDir);
  await git('init', '-q', '--initial-branch=main');
  const push = async (): Promise<string> => {
    await git('commit', '-q', '--allow-empty', '-m', 'Next');
    await git('push', '-q', forge.pushUrl, 'HEAD:main');
    return await git('rev-parse', 'HEAD');
  };
  for (let round = 0; round < 3; round += 1) {
    await forge.silently(push);
    const told = await push();
    await eventually('the push is announced', () => forge.deliveries.some(({ after }) => after === told) || undefined);
  }
  expect(forge.deliveries).toHaveLength(3);
});
