import { eventually, exampleFleetFiles, TestFleet, testNixSettings, type TestMachine } from '@floe/testkit';
import { afterAll, beforeAll, expect, test } from 'vitest';

// With real Nix: what one host costs to evaluate holds up no other.

/** Takes many minutes, and hardly any memory. */
const SLOW = `{ ... }: {
  environment.etc."slow" =
    let sum = count: of: builtins.foldl' (total: index: total + of index) 0 (builtins.genList (index: index) count);
    in toString (sum 1000000 (_: sum 1000 (index: index)));
}
`;
const host = (role: string): string => `{ ... }: { environment.etc."role" = "${role}\\n"; }\n`;

let fleet: TestFleet;
let ada: TestMachine;

beforeAll(async () => {
  fleet = await TestFleet.create({ files: await exampleFleetFiles(), nixConfig: testNixSettings, hasPostgres: true });
  await fleet.startServer();
  ada = await fleet.addMachine('ada');
  await fleet.settled(await fleet.git('-C', fleet.workTree, 'rev-parse', 'HEAD'));
});
afterAll(async () => {
  await fleet[Symbol.asyncDispose]();
});

test('a machine switches to a commit while another host of it is still evaluated, and nothing is lost when that is overtaken', async () => {
  const slow = await fleet.push('Change two hosts', { 'hosts/ada.nix': host('first'), 'hosts/bob.nix': SLOW });
  const told = await eventually(
    'ada runs it',
    async () => {
      const view = await fleet.revision(slow);
      const row = view?.hosts.find((each) => each.host === 'ada');
      const isThere = row?.toplevel != null && (await ada.observe()).current === row.toplevel;
      return isThere && (await fleet.hostView('ada')).standing === 'in-sync' ? view : undefined;
    },
    { explain: async () => JSON.stringify([await fleet.revision(slow), await fleet.hostView('ada')]) },
  );
  expect(told?.state).toBe('BUILDING');
  expect(told?.hosts.find((each) => each.host === 'bob')?.outcome).toBe('NOT_EVALUATED');
  expect(told?.rollout).toMatchObject({ state: 'ROLLING', description: expect.stringMatching(/\d being evaluated$/) as string });
  const statusOf = async (description: RegExp): Promise<string> =>
    await eventually(`the commit says ${description}`, () => {
      const found = fleet.forge.statusOf(slow, 'floe/evaluate');
      return found !== undefined && description.test(found.description) ? found.state : undefined;
    });
  expect(await statusOf(/^[12] of 3 evaluated$/)).toBe('pending');

  const quick = await fleet.push('And back', { 'hosts/bob.nix': host('second') });
  expect(await fleet.settled(quick)).toMatchObject({ state: 'PUBLISHED' });
  const overtaken = await fleet.revision(slow);
  expect(overtaken).toMatchObject({ state: 'PUBLISHED' });
  expect(overtaken?.hosts.find((each) => each.host === 'bob')).toMatchObject({ outcome: 'NOT_EVALUATED', error: null });
  expect(await statusOf(new RegExp(`^[12] of 3 evaluated: superseded by ${quick.slice(0, 7)}$`))).toBe('error');
  expect((await fleet.revision(quick))?.hosts.find((each) => each.host === 'bob')?.outcome).toBe('CHANGED');
});
