import { execInTest } from '@floe/runtime';
import { exampleFleetFiles, startGitOrigin, TestFleet, testNixSettings } from '@floe/testkit';
import { expect, it } from 'vitest';

// The server with the setting, as it is started: a host whose role is in a submodule.

it('a host is released with a file of a submodule, and again when that changes', async () => {
  await using origin = await startGitOrigin();
  const roles = await origin.repository('roles');
  const files = await exampleFleetFiles();
  const ada = '{ config, ... }: {\n  environment.etc."role" = builtins.readFile ../roles/role;\n}\n';
  const gitmodules = `[submodule "roles"]\n\tpath = roles\n\turl = ${roles.url}\n`;
  const serverEnv = { FLOE_REPOSITORY_SUBMODULES: 'yes' };
  await using fleet = await TestFleet.create({ files, nixConfig: testNixSettings, pollSeconds: 10_000, hasPostgres: true, serverEnv });
  await fleet.startServer();
  const changedBy = async (role: string, more: Readonly<Record<string, string>>): Promise<string[]> => {
    const sub = await roles.commit({ role }, role);
    // git treats a submodule without a folder as removed.
    await execInTest('mkdir', ['-p', `${fleet.workTree}/roles`]);
    await fleet.git('-C', fleet.workTree, 'update-index', '--add', '--cacheinfo', `160000,${sub},roles`);
    await fleet.git('-C', fleet.workTree, 'commit', '-q', '-m', `The role ${role}`);
    const sha = await fleet.push(role, more);
    expect(await fleet.settled(sha)).toMatchObject({ state: 'PUBLISHED', error: null, warnings: [] });
    const { hosts } = (await (await fleet.request(`/api/revisions/${sha}`)).json()) as { hosts: { host: string; outcome: string }[] };
    return hosts.filter(({ outcome }) => outcome === 'CHANGED' || outcome === 'NEW').map(({ host }) => host);
  };
  expect(await changedBy('one', { 'hosts/ada.nix': ada, '.gitmodules': gitmodules })).toContain('ada');
  expect(await changedBy('two', { 'other-file': '1' })).toEqual(['ada']);
});
