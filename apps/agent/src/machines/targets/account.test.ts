import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exec, execInTest } from '@floe/runtime';
import { expect, test } from 'vitest';
import { accountEnv, execAs, placeAs, type Account } from './account.ts';

const ALICE: Account = { name: 'alice', home: '/home/alice', stateHome: '/home/alice/.local/state', isOwn: false };

test("what changes an activation, and root's secrets, do not reach a user's programs", () => {
  const agentEnv = {
    PATH: '/bin',
    HOME: '/root',
    NIX_CONFIG: 'access-tokens = secret',
    XDG_CONFIG_HOME: '/root/.config',
    HOME_MANAGER_BACKUP_EXT: 'bak',
    DRY_RUN: '1',
    SKIP_SANITY_CHECKS: '1',
    XDG_RUNTIME_DIR: '/run/user/0',
  };
  const told = { HOME: '/home/alice', USER: 'alice', LOGNAME: 'alice', XDG_STATE_HOME: '/home/alice/.local/state' };
  expect(accountEnv(ALICE, agentEnv)).toEqual({ PATH: '/bin', ...told });
  expect(accountEnv({ ...ALICE, isOwn: true }, agentEnv)).toEqual({
    PATH: '/bin',
    NIX_CONFIG: 'access-tokens = secret',
    XDG_CONFIG_HOME: '/root/.config',
    XDG_RUNTIME_DIR: '/run/user/0',
    ...told,
  });
});

test('a program runs as it is for the own user, and through the system for another', () => {
  const env = { PATH: '/bin', HOME: '/home/alice' };
  expect(placeAs({ ...ALICE, isOwn: true }, ['/x/activate', '-a'], { env, platform: 'linux' })).toEqual({ file: '/x/activate', args: ['-a'], env });
  expect(placeAs(ALICE, ['/x/activate', '-a'], { env, platform: 'linux' })).toEqual({
    file: 'runuser',
    args: ['-m', '-u', 'alice', '--', '/x/activate', '-a'],
    env,
  });
  const sudo = ['-H', '-u', 'alice', '--', '/usr/bin/env', 'PATH=/bin', 'HOME=/home/alice', '/bin/sh', '-c', 'exec "$@"', 'sh', '/x/activate', '-a'];
  expect(placeAs(ALICE, ['/x/activate', '-a'], { env, platform: 'darwin' })).toEqual({ file: 'sudo', args: sudo, env });
  expect(placeAs(ALICE, ['/x/activate', '-a'], { env, platform: 'darwin', uid: '501' })).toEqual({
    file: 'launchctl',
    args: ['asuser', '501', 'sudo', ...sudo],
    env,
  });
});

test('on macOS, a program whose name has "=" in it is run and not taken for a setting', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'floe-account-'));
  try {
    const program = join(dir, 'a=b');
    await writeFile(program, '#!/bin/sh\necho "$HOME $1"\n', { mode: 0o755 });
    const { args } = placeAs(ALICE, [program, 'two words'], { env: { HOME: '/home/alice' }, platform: 'darwin' });
    const [file = '', ...rest] = args.slice(args.indexOf('--') + 1);
    expect(await execInTest(file, rest)).toMatchObject({ exitCode: 0, stdout: '/home/alice two words\n' });
  } finally {
    await rm(dir, { recursive: true });
  }
});

// Of all users only root may become another; `nobody` is on every Linux.
test.runIf(process.platform === 'linux' && process.getuid?.() === 0)('a program really runs as the other user, with its environment', async () => {
  const nobody: Account = { name: 'nobody', home: '/srv/nobody', stateHome: '/srv/nobody/.local/state', isOwn: false };
  const env = accountEnv(nobody, { PATH: '/usr/bin:/bin:/usr/sbin:/sbin:/run/current-system/sw/bin', DRY_RUN: '1' });
  const LIMIT = { timeoutMs: 60_000 };
  const asNobody = execAs(exec, nobody, { env, platform: 'linux' });
  expect((await asNobody('id', ['-un'], LIMIT)).stdout).toBe('nobody\n');
  const seen = (await asNobody('env', [], LIMIT)).stdout.split('\n');
  expect(seen).toContain('HOME=/srv/nobody');
  expect(seen).toContain('USER=nobody');
  expect(seen.join('\n')).not.toContain('DRY_RUN');
  expect((await asNobody('sh', ['-c', 'exit 7'], LIMIT)).exitCode).toBe(7);
});
