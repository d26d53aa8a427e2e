import { createHash } from 'node:crypto';
import { readdir, readFile, mkdir, symlink } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { exec } from '@floe/runtime';
import { eventually, exampleFleetFiles, TestFleet, testNixSettings } from '@floe/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

// What someone who may push can get out of a real server. All known attacks: libs/nix/src/thieves.nix.test.ts.

const UNSAFE = 'FLOE_UNSAFE_RUN_REPOSITORY_CODE_WITH_ACCESS_TO_KEYS';
let fleet: TestFleet;
let files: Record<string, string>;

beforeAll(async () => {
  files = await exampleFleetFiles();
  fleet = await TestFleet.create({ files, nixConfig: testNixSettings, pollSeconds: 1, serverEnv: { FLOE_WEBHOOK_TEST_SECRET: 'LOOT-environment' } });
});
afterAll(async () => {
  await fleet[Symbol.asyncDispose]();
});

/** A PATH with all programs but one. */
async function pathWithout(program: string): Promise<string> {
  const dir = join(fleet.dir, `without-${program}`);
  await mkdir(dir);
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    for (const name of await readdir(folder).catch(() => [])) {
      if (name !== program) await symlink(join(folder, name), join(dir, name)).catch(() => undefined);
    }
  }
  return dir;
}

describe('a server', () => {
  it('does not start where there is no sandbox, and says how to have one and what doing without gives up', async () => {
    const PATH = await pathWithout('bwrap');
    fleet.server.start({ PATH });
    await eventually('the server ended', () => (fleet.server.isRunning ? undefined : true));
    expect(fleet.server.log()).toMatch(
      /cannot be kept away from Floe's keys[^]*Install bubblewrap[^]*FLOE_UNSAFE_RUN_REPOSITORY_CODE_WITH_ACCESS_TO_KEYS=yes/,
    );
    await fleet.startServer({ PATH, [UNSAFE]: 'yes' });
    expect(fleet.server.log()).toContain('whoever may push can read them');
    await fleet.server.stop();
  });

  it.runIf(process.getuid?.() === 0)('does not start with a single-user Nix, whose builds change what later commits contain', async () => {
    fleet.server.start({ FLOE_UNSAFE_LET_BUILDS_CHANGE_THE_STORE: 'no' });
    await eventually('the server ended', () => (fleet.server.isRunning ? undefined : true));
    expect(fleet.server.log()).toMatch(/use Nix's daemon[^]*FLOE_UNSAFE_LET_BUILDS_CHANGE_THE_STORE=yes/);
  });

  it('does not start when a secret lies where the sandbox has to look', async () => {
    const { stdout } = await exec('nix-store', ['--add', join(fleet.dir, 'secrets/repository-token')], {
      env: { PATH: process.env['PATH'], HOME: fleet.dir, NIX_CONFIG: testNixSettings },
      timeoutMs: 60_000,
    });
    fleet.server.start({ FLOE_REPOSITORY_TOKEN_FILE: stdout.trim() });
    await eventually('the server ended', () => (fleet.server.isRunning ? undefined : true));
    expect(fleet.server.log()).toContain(`${stdout.trim()} can be read by code from the repository`);
  });
});

it('a push that steals gets nothing: the key, the token and the environment stay', async () => {
  await fleet.startServer();
  const keys = join(fleet.dir, 'server/keys');
  await eventually('the keys are there', async () => ((await readdir(keys)).length === 3 ? true : undefined));
  const steal = (what: string): string => `{ ... }: { environment.etc.loot = builtins.readFile (${what}); }`;
  const sha = await fleet.push('Steal', {
    'hosts/ada.nix': steal(
      `builtins.fetchurl { url = "file://${keys}/release.pem"; sha256 = "0000000000000000000000000000000000000000000000000000"; }`,
    ),
    'hosts/bob.nix': steal(
      `builtins.fetchTree { type = "path"; path = "${keys}"; narHash = "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="; }`,
    ),
    'hosts/cyd.nix': steal(
      `derivation { name = "loot"; system = "x86_64-linux"; builder = "/bin/sh"; PATH = "/usr/bin:/bin"; args = [ "-c" "cat ${keys}/* ${fleet.dir}/server/admin-token ${fleet.dir}/secrets/* /proc/*/environ | tr -d '\\\\0' > $out; exit 1" ]; }`,
    ),
  });
  const revision = await fleet.settled(sha);
  expect(revision.state).toBe('EVAL_FAILED');
  const told = JSON.stringify(revision) + JSON.stringify(fleet.forge.statusOf(sha, 'floe/evaluate')) + fleet.server.log();
  const key = await readFile(join(keys, 'release.pem'));
  for (const secret of [
    key.toString().split('\n')[1] ?? '',
    createHash('sha256').update(key).digest('base64'),
    await fleet.token(),
    'LOOT-environment',
  ]) {
    expect(secret.length).toBeGreaterThan(10);
    expect(told).not.toContain(secret);
    const found = await exec('grep', ['-rlaF', '--', secret, join(fleet.dir, 'server/sandbox'), join(fleet.dir, 'server/cache')], {
      env: process.env,
      timeoutMs: 60_000,
    });
    expect(found.stdout).toBe('');
  }
});
