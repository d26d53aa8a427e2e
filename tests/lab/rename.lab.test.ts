import { isLabReady } from '@floe/testkit';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { another, pausedCheck, type LabHost } from './hosts.ts';
import { LabFleet } from './lab-fleet.ts';
import { noteOutcome } from './outcomes.ts';

const { isReady, why } = await isLabReady();

// "Renaming a machine" of docs/operate.md, step by step.
describe.skipIf(!isReady)(`a machine gets another name${isReady ? '' : ` (skipped: ${why})`}`, () => {
  let lab: LabFleet;
  beforeAll(async () => {
    lab = await LabFleet.create(16, { ada: another(), bob: another() });
  });
  afterEach(async () => {
    await lab.restingAreTidy();
  });
  afterAll(async () => {
    await lab[Symbol.asyncDispose]();
  });

  const renamed = (former: string, host: LabHost = {}): LabHost => another({ ...host, formerHost: former });
  async function says(path: string, method: string, body: object): Promise<void> {
    const answer = await lab.fleet.request(path, { method, body: JSON.stringify({ reason: 'moved to another desk', ...body }) });
    expect(answer.ok, await answer.clone().text()).toBe(true);
  }

  test('it keeps what it runs, switches as ever, and an older generation of the old name is still the same host', async () => {
    const first = (await lab.machine('ada')).current ?? '';
    const sha = await lab.push('Rename ada', { ada: null, reception: renamed('ada') });
    const wanted = (await lab.published(sha)).get('reception') ?? '';
    await lab.told('ada', 'is not in the flake', ({ standing }) => standing === 'removed');
    expect((await lab.machine('ada')).current).toBe(first);

    await says('/api/hosts/ada/rename', 'POST', { to: 'reception' });
    lab.isNamed('ada', 'reception');
    await lab.runs('reception', wanted);
    const guest = lab.guest('reception');
    expect(await guest.sh('systemctl show floe-agent --property=Environment --value')).toContain('FLOE_HOST=reception');
    noteOutcome({ fault: 'renamed', where: 'IDLE', outcome: 'new system, under the new name' });

    // The service of that generation says the old name.
    await guest.sh(`nix-env --profile /nix/var/nix/profiles/system --set ${first}; ${first}/bin/switch-to-configuration switch`);
    expect(await guest.sh('systemctl show floe-agent --property=Environment --value')).toContain('FLOE_HOST=ada');
    await lab.told('reception', 'is kept', ({ standing, observed }) => standing === 'local-override' && observed.current === first);
    await says('/api/hosts/reception/override', 'DELETE', {});
    await lab.runs('reception', wanted);
    noteOutcome({ fault: 'renamed, then a generation of the old name by hand', where: 'SUCCEEDED', outcome: 'the same host, kept and shown' });
  });

  test('renamed and killed while a system of the old name is verified: its verdict is that of the new name', async () => {
    await lab.pauseAt('bob', 'health');
    await lab.change('bob', another({ health: [pausedCheck('fails', 600)] }));
    await lab.isAt('bob', 'health');
    const sha = await lab.push('Rename bob', { bob: null, archive: renamed('bob') });
    const wanted = (await lab.published(sha)).get('archive') ?? '';
    await says('/api/hosts/bob/rename', 'POST', { to: 'archive' });
    lab.isNamed('bob', 'archive');
    await lab.killAgent('archive');
    await lab.goOn('archive', 'health');
    await lab.runs('archive', wanted);
    await lab.isTidy('archive');
    const reports = (await (await lab.fleet.request('/api/hosts/archive/reports?limit=200')).json()) as { state: string; toplevel: string | null }[];
    expect(reports.map(({ state }) => state)).toContain('ROLLED_BACK');
    noteOutcome({ fault: 'renamed, and kill -9 of the agent', where: 'VERIFYING', outcome: 'old system, then that of the new name' });
  });
});
