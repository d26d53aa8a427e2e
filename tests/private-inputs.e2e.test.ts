import { readdirSync, readFileSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execInTest } from '@floe/runtime';
import { eventually, exampleFleetFiles, startGitOrigin, startSshServer, TestFleet, testNixSettings } from '@floe/testkit';
import { expect, it } from 'vitest';

// A real server with an input over SSH. All kinds of inputs and of refusals: libs/nix/src/private-inputs.nix.test.ts.

function commandLines(): string {
  const read = (pid: string): string => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'latin1') + readFileSync(`/proc/${pid}/environ`, 'latin1');
    } catch {
      return '';
    }
  };
  return readdirSync('/proc').map(read).join('\n');
}

it('a private input without a key fails the commit with what to do; with the key it is released', { timeout: 180_000 }, async () => {
  const files = await exampleFleetFiles();
  await using fleet = await TestFleet.create({ files, nixConfig: testNixSettings, pollSeconds: 1, hasPostgres: true });
  await using origin = await startGitOrigin();
  await using ssh = await startSshServer(join(fleet.dir, 'sshd'));
  const lib = await origin.repository('lib');
  const module = `{ ... }: { environment.etc.text = "private ${Date.now()}\\n"; }`;
  const rev = await lib.commit({ 'flake.nix': '{ outputs = { self }: { }; }', 'module.nix': module }, 'One');
  const lastModified = Number(await lib.git('log', '-1', '--format=%ct'));
  const checkout = join(fleet.dir, 'lib');
  await execInTest('git', ['clone', '-q', lib.bareDir, checkout]);
  await execInTest('rm', ['-rf', join(checkout, '.git')]);
  const nix = { env: { ...process.env, NIX_CONFIG: testNixSettings } };
  const narHash = (await execInTest('nix', ['hash', 'path', checkout], nix)).stdout.trim();
  const url = `ssh://${ssh.user}@localhost:${ssh.port}${lib.bareDir}`;
  const named = { type: 'git', url, ref: 'main' };
  const locked = { type: 'git', url, ref: 'refs/heads/main', rev, revCount: 1, lastModified, narHash };
  const flake = (files['flake.nix'] ?? '')
    .replace('inputs = { };', `inputs.base.url = "git+${url}?ref=main";`)
    .replace('{ self }:', '{ self, base }:')
    .replace('[ ./modules/base.nix ]', '[ ./modules/base.nix "${base}/module.nix" ]');
  const sha = await fleet.push('Take a private input', {
    'flake.nix': flake,
    'flake.lock': JSON.stringify({ nodes: { base: { locked, original: named }, root: { inputs: { base: 'base' } } }, root: 'root', version: 7 }),
  });

  await fleet.startServer();
  const failed = await fleet.settled(sha);
  expect(failed.state).toBe('EVAL_FAILED');
  expect(JSON.stringify(failed)).toContain(
    'SSH needs a login: if it is private, set inputs.\\"localhost\\".sshKeyFile and knownHosts of this server',
  );
  await fleet.server.stop();

  const [key, settings] = [join(fleet.dir, 'secrets/input-key'), join(fleet.dir, 'inputs.json')];
  await writeFile(key, ssh.key, { mode: 0o600 });
  await writeFile(settings, JSON.stringify({ inputs: { localhost: { sshKeyFile: key, knownHosts: [ssh.knownHost] } } }));
  await fleet.startServer({ FLOE_INPUTS_FILE: settings });
  const before = ssh.log().length;
  const reason = 'the key is set';
  expect((await fleet.request(`/api/revisions/${sha}/evaluate`, { method: 'POST', body: JSON.stringify({ reason }) })).status).toBeLessThan(300);
  let seen = '';
  await eventually('the commit is published', async () => {
    seen += commandLines();
    return (await fleet.revision(sha))?.state === 'PUBLISHED' ? true : undefined;
  });
  expect(ssh.log().slice(before)).toContain('Accepted publickey');
  const told = JSON.stringify(await fleet.revision(sha)) + fleet.server.log() + seen;
  for (const line of ssh.key.split('\n').slice(1, -1)) {
    expect(told).not.toContain(line);
    const folders = ['server/sandbox', 'server/cache', 'server/statements', 'server/home'].map((name) => join(fleet.dir, name));
    expect((await execInTest('grep', ['-rlaF', '--', line, ...folders])).stdout).toBe('');
  }
  expect(await readFile(key, 'utf8')).toBe(ssh.key);
});
