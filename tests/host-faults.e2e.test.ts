import { eventually, exampleFleetFiles, TestFleet, testNixSettings } from '@floe/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

let fleet: TestFleet;
let files: Record<string, string>;

beforeAll(async () => {
  files = await exampleFleetFiles();
  fleet = await TestFleet.create({
    hasPostgres: true,
    files,
    nixConfig: testNixSettings,
    serverEnv: { FLOE_EVALUATION_TIMEOUT_SECONDS: '15', FLOE_EVALUATION_MEMORY_MIB: '1024' },
  });
  await fleet.startServer();
  await fleet.addMachine('ada');
  await fleet.settled(await fleet.git('-C', fleet.workTree, 'rev-parse', 'HEAD'));
});
afterAll(async () => {
  await fleet[Symbol.asyncDispose]();
});

const value = (expression: string): string => `{ config, ... }: { environment.etc."x" = ${expression}; }\n`;
let counter = 0;

describe('a host that', () => {
  it.each([
    ['throws', 'bob', value('throw "bob is on holiday"'), 'EVAL_ERROR', /bob is on holiday/],
    ['recurses forever', 'bob', value('let x = x; in x'), 'EVAL_ERROR', /infinite recursion/],
    [
      'evaluates for too long',
      'bob',
      value(
        'toString (builtins.length (builtins.filter (x: builtins.length (builtins.genList (i: i) 1000000) < 0) (builtins.genList (i: i) 300000)))',
      ),
      'EVAL_ERROR',
      /longer than 15 s/,
    ],
    [
      'needs too much memory',
      'bob',
      // Takes 2 GiB in few steps, so that no slow machine reaches the limit of time first.
      value(`toString (builtins.stringLength (builtins.foldl' (s: _: s + s) "x" (builtins.genList (i: i) 31)))`),
      'EVAL_ERROR',
      /more memory.*1024 MiB/,
    ],
    [
      'fails to build',
      'bob',
      '{ config, ... }: { environment.etc."x" = "a file"; environment.etc."x/y" = "so x is no folder"; }\n',
      'BUILD_ERROR',
      /exit code.*File exists/s,
    ],
  ] as const)('%s stays behind; the others switch, and it follows once it is mended', async (name, host, broken, outcome, cause) => {
    counter += 1;
    const sha = await fleet.push(`A host that ${name}`, { 'hosts/ada.nix': value(`"${counter}"`), [`hosts/${host}.nix`]: broken });
    const revision = await fleet.settled(sha);
    expect(revision.state).toBe('PUBLISHED');
    const result = revision.hosts.find((each) => each.host === host);
    expect(result).toMatchObject({ outcome, error: expect.stringMatching(cause) as string });
    expect(result?.error).not.toMatch(/\/nix\/store/);
    const ada = revision.hosts.find((each) => each.host === 'ada');
    expect((await fleet.machine('ada').observe()).current).toBe(ada?.toplevel);

    const view = await fleet.hostView(host);
    expect(view).toMatchObject({ standing: 'behind', problem: expect.stringMatching(cause) as string });
    const context = outcome === 'EVAL_ERROR' ? 'floe/evaluate' : 'floe/build';
    const status = await eventually('the commit says so', () => {
      const found = fleet.forge.statusOf(sha, context);
      return found === undefined || found.state === 'pending' ? undefined : found;
    });
    expect(status).toMatchObject({ state: 'failure', description: expect.stringContaining(host) as string });

    const mended = await fleet.push('Mended', { [`hosts/${host}.nix`]: value(`"mended ${counter}"`) });
    expect((await fleet.settled(mended)).hosts.find((each) => each.host === host)).toMatchObject({ outcome: 'CHANGED', error: null });
    expect((await fleet.hostView(host)).standing).not.toBe('behind');
  });

  it('is not enrolled is shown as such and delays nothing; once enrolled, it gets its release', async () => {
    const sha = await fleet.push('For cyd', { 'hosts/cyd.nix': value('"for cyd"') });
    const revision = await fleet.settled(sha);
    const rollout = await eventually('its rollout is complete', async () => {
      const found = (await fleet.revision(sha))?.rollout;
      return found?.state === 'COMPLETE' ? found : undefined;
    });
    expect(rollout.counts).toMatchObject({ 'not-enrolled': 2, 'under-way': 0 });
    expect(await fleet.hostView('cyd')).toMatchObject({ standing: 'not-enrolled', isEnrolled: false });
    const cyd = await fleet.addMachine('cyd');
    const wanted = revision.hosts.find((each) => each.host === 'cyd')?.toplevel;
    await eventually('cyd runs it', async () => ((await cyd.observe()).profile === wanted ? true : undefined), { explain: () => cyd.agent.log() });
    await eventually('the server says so', async () => ((await fleet.hostView('cyd')).standing === 'in-sync' ? true : undefined));
  });

  it('has an invalid name is reported as an error, and the others continue', async () => {
    const sha = await fleet.push('A name', { 'hosts/-ws.nix': value('"x"'), 'hosts/ada.nix': value('"beside a strange name"') });
    const revision = await fleet.settled(sha);
    expect(revision.state).toBe('PUBLISHED');
    expect(revision.hosts.find((each) => each.host === '-ws')).toMatchObject({
      outcome: 'EVAL_ERROR',
      error: expect.stringContaining('no machine can have this name') as string,
    });
    const status = await eventually('the commit says so', () => {
      const found = fleet.forge.statusOf(sha, 'floe/evaluate');
      return found === undefined || found.state === 'pending' ? undefined : found;
    });
    expect(status).toMatchObject({ state: 'failure', description: expect.stringContaining('-ws') as string });
    await fleet.settled(await fleet.push('Without it', { 'hosts/-ws.nix': null }));
  });

  it('was removed from the flake keeps its release, and is reported to get no newer one, until it is revoked', async () => {
    const cyd = await fleet.machine('cyd').observe();
    await fleet.settled(await fleet.push('Without cyd', { 'hosts/cyd.nix': null }));
    expect(await fleet.hostView('cyd')).toMatchObject({
      standing: 'removed',
      problem: expect.stringContaining('not in the flake') as string,
    });
    expect(await fleet.machine('cyd').observe()).toEqual(cyd);
    await fleet.request('/api/hosts/cyd/enrolment', { method: 'DELETE', body: JSON.stringify({ reason: 'sold' }) });
    expect(await fleet.hostView('cyd')).toMatchObject({ standing: 'revoked' });
  });
});
