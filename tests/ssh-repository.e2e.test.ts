import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startPostgres, startSshServer, TestFleet, exampleFleetFiles, testNixSettings } from '@floe/testkit';
import { expect, it } from 'vitest';

// Real programs follow a repository over SSH. What a server may send, and what goes wrong: libs/git/src/git-ssh.nix.test.ts.

it.each([
  ['by the server itself', false],
  ['by a builder of its own, and the server has no key', true],
])('a repository over SSH is followed %s: a push is released, and the key is nowhere', { timeout: 240_000 }, async (_what, hasOwnBuilder) => {
  const dir = await mkdtemp(join(tmpdir(), 'floe-fleet-'));
  await using ssh = await startSshServer(join(dir, 'sshd'));
  await using postgres = await startPostgres();
  const [key, hosts] = [join(dir, 'repository-key'), join(dir, 'known-hosts')];
  await writeFile(key, `${ssh.key}\n`, { mode: 0o600 });
  await writeFile(hosts, `${ssh.knownHost}\n`);
  const address = { FLOE_REPOSITORY_URL: `ssh://${ssh.user}@localhost:${ssh.port}${join(dir, 'forge/fleet.git')}` };
  const login = { ...address, FLOE_REPOSITORY_TOKEN_FILE: '', FLOE_REPOSITORY_SSH_KEY_FILE: key, FLOE_REPOSITORY_KNOWN_HOSTS_FILE: hosts };
  const files = await exampleFleetFiles();
  {
    await using fleet = await TestFleet.create({
      dir,
      files,
      nixConfig: testNixSettings,
      databaseUrl: postgres.url,
      hasOwnBuilder,
      serverEnv: hasOwnBuilder ? address : login,
      builderEnv: login,
    });
    await fleet.startServer();
    const first = (await fleet.git('-C', fleet.forge.bareDir, 'rev-parse', 'main')).trim();
    expect((await fleet.settled(first)).state).toBe('PUBLISHED');
    // Only its webhook tells of it before the test is over.
    const second = await fleet.push('Change a host', { 'README.md': `${Date.now()}\n` });
    expect((await fleet.settled(second)).state).toBe('PUBLISHED');
    const told = `${fleet.server.log()}${fleet.builder?.log() ?? ''}${JSON.stringify(await fleet.revision(second))}`;
    for (const line of ssh.key.split('\n').slice(1, -1)) expect(told).not.toContain(line);
    expect(ssh.log()).toContain('Accepted publickey');
  }
  await rm(dir, { recursive: true, force: true });
});
