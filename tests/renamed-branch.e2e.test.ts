import { eventually, exampleFleetFiles, TestFleet, testNixSettings } from '@floe/testkit';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';

// The branch gets another name at the forge, and in the settings: real agents, one of which accepts releases of the old name alone.

const OLD = 'refs/heads/main';

it('machines follow the new name of the branch with what they have; one that pins the old name keeps what it runs, and says so', async () => {
  const files = await exampleFleetFiles();
  await using fleet = await TestFleet.create({ files, nixConfig: testNixSettings, pollSeconds: 1, hasPostgres: true });
  const inSync = async (host: string, commit: string): Promise<void> =>
    void (await eventually(
      `${host} runs ${commit.slice(0, 7)}`,
      async () => {
        const { standing, desired, isConnected } = await fleet.hostView(host);
        return (standing === 'in-sync' && isConnected && desired?.commit === commit) || undefined;
      },
      { timeoutMs: 60_000, explain: async () => `${JSON.stringify(await fleet.hostView(host), null, 1)}\n${fleet.server.log()}` },
    ));
  await fleet.startServer({ FLOE_REPOSITORY_BRANCH: '' });
  const first = await fleet.git('-C', fleet.workTree, 'rev-parse', 'HEAD');
  await fleet.addMachine('ada');
  await fleet.addMachine('bob', { FLOE_REF: OLD });
  await fleet.settled(first);
  for (const host of ['ada', 'bob']) await inSync(host, first);

  const { profile } = await fleet.machine('bob').observe();
  await fleet.git('-C', fleet.forge.bareDir, 'branch', '-m', 'main', 'trunk');
  await eventually('it is said', async () => (await fleet.fleetView()).repository.problem?.code === 'BRANCH_NOT_FOUND' || undefined);
  await fleet.server.stop();
  await fleet.startServer({ FLOE_REPOSITORY_BRANCH: 'trunk' });
  // What they were told before is of the old name, and they are told it again as they connect.
  for (const host of ['ada', 'bob']) await inSync(host, first);
  expect((await fleet.fleetView()).repository).toMatchObject({ branch: 'trunk', acceptedCommit: first });

  const changed = files['modules/base.nix']?.replace('kept by Floe', 'kept by Floe, from trunk') ?? '';
  await writeFile(join(fleet.workTree, 'modules/base.nix'), changed);
  await fleet.git('-C', fleet.workTree, 'commit', '-q', '-a', '-m', 'A change for all');
  await fleet.git('-C', fleet.workTree, 'push', '-q', 'origin', 'HEAD:trunk');
  const second = await fleet.git('-C', fleet.workTree, 'rev-parse', 'HEAD');
  await inSync('ada', second);
  const bob = await eventually('bob refuses it', async () => {
    const { detail, standing } = await fleet.hostView('bob');
    return standing === 'failed' ? detail : undefined;
  });
  expect(bob).toMatchObject({
    code: 'RELEASE_WRONG_REF',
    message: expect.stringMatching(/refs\/heads\/main alone: .*services\.floe\.agent\.ref = null/) as string,
  });
  expect(await fleet.machine('bob').observe()).toMatchObject({ profile, current: profile });
});
