import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually, exampleFleetFiles, TestFleet, testNixSettings } from '@floe/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

// Repository contents that Floe does not fetch, or that Nix cannot read. Only webhooks trigger the server: the next poll is hours
// away.

let fleet: TestFleet;
let files: Record<string, string>;

beforeAll(async () => {
  files = await exampleFleetFiles();
  fleet = await TestFleet.create({ files, nixConfig: testNixSettings, pollSeconds: 10_000, hasPostgres: true });
  await fleet.startServer();
  await fleet.settled(await fleet.git('-C', fleet.workTree, 'rev-parse', 'HEAD'));
});
afterAll(async () => {
  await fleet[Symbol.asyncDispose]();
});

const LFS = `version https://git-lfs.github.com/spec/v1\noid sha256:${'a'.repeat(64)}\nsize 12345\n`;

async function errorsOf(sha: string): Promise<Record<string, string>> {
  const response = await fleet.request(`/api/revisions/${sha}`);
  const { hosts } = (await response.json()) as { hosts: { host: string; error: string | null }[] };
  return Object.fromEntries(hosts.flatMap(({ host: name, error }) => (error === null ? [] : [[name, error]])));
}

function host(role: string): string {
  return `{ config, ... }: {\n  environment.etc."role" = ${role};\n}\n`;
}

describe('files that Floe does not have', () => {
  it('are no matter as long as no host uses them', async () => {
    const sha = await fleet.push('Wallpapers', {
      'wallpapers/blue.png': LFS,
      'secrets/deploy': '\0GITCRYPT\0abc',
      'hosts/ada.nix': host('"with wallpapers\\n"'),
    });
    expect(await fleet.settled(sha)).toMatchObject({ state: 'PUBLISHED', error: null });
    expect(await errorsOf(sha)).toEqual({});
  });

  it.each<[string, string, string, RegExp]>([
    ['read', 'builtins.readFile ../certs/web.pem', LFS, /^certs\/web\.pem is a pointer of Git LFS/],
    [
      'read with others of its folder',
      'builtins.concatStringsSep "" (map (name: builtins.readFile (../certs + "/${name}")) (builtins.attrNames (builtins.readDir ../certs)))',
      LFS,
      /^certs\/web\.pem is a pointer/,
    ],
    ['copied', '"${../certs/web.pem}"', LFS, /^certs\/web\.pem is a pointer of Git LFS/],
    ['copied with its folder', '"${../certs}"', LFS, /^certs\/web\.pem is a pointer of Git LFS/],
    ['copied, encrypted', '"${../certs/web.pem}"', '\0GITCRYPT\0abc', /^certs\/web\.pem is encrypted by git-crypt/],
    ['imported, encrypted', 'import ../certs/web.pem', '\0GITCRYPT\0abc', /^certs\/web\.pem is encrypted by git-crypt/],
  ])('fail the host that uses one, and it alone: %s', async (_how, role, content, message) => {
    const sha = await fleet.push(`A certificate, ${_how}`, {
      'certs/web.pem': content,
      'hosts/ada.nix': host(role),
      'hosts/bob.nix': host(`"${_how}\\n"`),
    });
    await fleet.settled(sha);
    const errors = await errorsOf(sha);
    expect(Object.keys(errors)).toEqual(['ada']);
    expect(errors['ada']).toMatch(message);
  });

  it('are named when it is a submodule that is read', async () => {
    // git treats a submodule without a folder as removed.
    await mkdir(join(fleet.workTree, 'vendor/lib'), { recursive: true });
    await fleet.git('-C', fleet.workTree, 'update-index', '--add', '--cacheinfo', `160000,${'b'.repeat(40)},vendor/lib`);
    await fleet.git('-C', fleet.workTree, 'commit', '-q', '-m', 'A submodule');
    const sha = await fleet.push('Use it', { 'hosts/ada.nix': host('import ../vendor/lib/role.nix') });
    await fleet.settled(sha);
    expect((await errorsOf(sha))['ada']).toMatch(/^vendor\/lib is a submodule that is not fetched.*FLOE_REPOSITORY_SUBMODULES/);
    expect((await fleet.fleetView()).revision?.warnings).toEqual([
      expect.stringMatching(/^Submodules are not fetched, so these folders are empty: vendor\/lib\./),
    ]);
    await fleet.git('-C', fleet.workTree, 'rm', '-q', '--cached', 'vendor/lib');
    await fleet.settled(await fleet.push('Good again', { 'hosts/ada.nix': host('"good\\n"'), 'certs/web.pem': null }));
  });
});

describe('a commit that Nix cannot take', () => {
  it.each([
    ['without a time zone', 'Ada <ada@example.org> 1700000000', /REJECTED|Nix cannot evaluate this commit/],
    ['before 1970', 'Ada <ada@example.org> -1000 +0000', /Nix cannot evaluate this commit/],
    ['far away', 'Ada <ada@example.org> 99999999999999999 +0000', /beyond the year 9999/],
  ])('is refused in a sentence, and the next one goes on: %s', async (_what, line, message) => {
    const { workTree } = fleet;
    const tree = await fleet.git('-C', workTree, 'rev-parse', 'HEAD^{tree}');
    const parent = await fleet.git('-C', workTree, 'rev-parse', 'HEAD');
    const file = join(fleet.dir, 'odd-commit');
    await writeFile(file, `tree ${tree}\nparent ${parent}\nauthor ${line}\ncommitter ${line}\n\nodd\n`);
    const odd = await fleet.git('-C', workTree, 'hash-object', '-t', 'commit', '--literally', '-w', file);
    await fleet.git('-C', workTree, 'reset', '-q', '--hard', odd);
    await fleet.git('-C', workTree, 'push', '-q', 'origin', 'HEAD:main');
    expect(await fleet.settled(odd)).toMatchObject({ state: 'REJECTED', error: expect.stringMatching(message) as string });
    const good = await fleet.push('Good', { 'README.md': `after a commit ${_what}` });
    expect(await fleet.settled(good)).toMatchObject({ state: 'PUBLISHED' });
  });
});

describe('a rollout policy', () => {
  const flake = (floe: string): string => (files['flake.nix'] ?? '').replace('nixosConfigurations =', `floe = ${floe};\n      nixosConfigurations =`);

  it('with a mistake, or with a check that is not there, lets nothing of its commit out, and the commit says why', async () => {
    const mistaken = await fleet.push('A policy', { 'flake.nix': flake('{ rings = [ { name = "canary"; sucess = 90; } ]; }') });
    const mistake = 'rings[0].sucess: unknown key; did you mean success?';
    expect(await fleet.settled(mistaken)).toMatchObject({ state: 'REJECTED', error: `the rollout policy is not valid: ${mistake}` });
    await eventually('the commit says so', () => {
      const status = fleet.forge.statusOf(mistaken, 'floe/evaluate');
      return status?.state === 'failure' && status.description.includes(mistake) ? true : undefined;
    });
    const unchecked = await fleet.push('A check', { 'flake.nix': flake('{ checks = [ "lint" ]; }') });
    expect(await fleet.settled(unchecked)).toMatchObject({
      state: 'BUILD_FAILED',
      error: expect.stringMatching(/^the check "lint" does not build: the flake has no such output in checks\..*; there is none$/) as string,
    });
    const good = await fleet.push('Without it', { 'flake.nix': flake('{ rings = [ { name = "all"; } ]; }') });
    expect(await fleet.settled(good)).toMatchObject({ state: 'PUBLISHED', error: null });
  });
});

describe('a webhook', () => {
  it('that comes before the commit is there is waited for', async () => {
    await fleet.forge.silently(async () => {
      await fleet.git('-C', fleet.workTree, 'commit', '-q', '--allow-empty', '-m', 'Announced first');
      const sha = await fleet.git('-C', fleet.workTree, 'rev-parse', 'HEAD');
      const seenAt = (await fleet.fleetView()).repository.lastFetchAt ?? 0;
      expect((await fleet.forge.deliver({ ref: 'refs/heads/main', after: sha }, { id: 'early' })).status).toBe(202);
      await eventually('the server has looked in vain', async () =>
        ((await fleet.fleetView()).repository.lastFetchAt ?? 0) > seenAt ? true : undefined,
      );
      await fleet.git('-C', fleet.workTree, 'push', '-q', 'origin', 'HEAD:main');
      expect(await fleet.settled(sha, 60_000)).toMatchObject({ state: 'PUBLISHED' });
    });
  });
});
