import type { RolloutView } from '@floe/protocol';
import { eventually, isLabReady } from '@floe/testkit';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { another, newKernel, pausedCheck, type LabHost } from './hosts.ts';
import { LabFleet } from './lab-fleet.ts';
import { noteOutcome } from './outcomes.ts';

const { isReady, why } = await isLabReady();

const CANARIES = ['can1', 'can2', 'can3'] as const;
const OTHERS = ['ada', 'bob', 'dan'] as const;
const RINGS = {
  downloads: { spread: '0s' },
  rings: [
    { name: 'canary', hosts: ['can*'], soak: '0s', minVerified: 2 },
    { name: 'all', soak: '0s', minVerified: 2 },
  ],
};
/** One machine waits until the others are where they should be: on a busy machine that takes longer than a switch may. */
const LONG_SECONDS = 600;
/** Opens for a minute a year. Its user may say "later" until the deadline, in seconds. */
const patient = (seconds: number): LabHost => ({
  policy: { windows: [{ cron: '0 0 29 2 *', durationMinutes: 1, timeZone: 'UTC' }], deadlineHours: seconds / 3600 },
});

describe.skipIf(!isReady)(`a rollout by two rings on six machines${isReady ? '' : ` (skipped: ${why})`}`, () => {
  let lab: LabFleet;
  beforeAll(async () => {
    lab = await LabFleet.create(9, Object.fromEntries([...CANARIES, ...OTHERS].map((name) => [name, {}])));
  });
  afterEach(async () => {
    await lab.restingAreTidy();
  });
  afterAll(async () => {
    await lab[Symbol.asyncDispose]();
  });

  const rollout = async (sha: string, what: string, isSo: (view: RolloutView) => boolean): Promise<RolloutView> =>
    await eventually(
      `the rollout ${what}`,
      async () => {
        const view = (await lab.fleet.revision(sha))?.rollout ?? undefined;
        return view !== undefined && isSo(view) ? view : undefined;
      },
      {
        timeoutMs: 120_000,
        everyMs: 100,
        explain: async () => `${JSON.stringify((await lab.fleet.revision(sha))?.rollout, null, 1)}\n${lab.fleet.server.log().slice(-3_000)}`,
      },
    );
  let wantedBefore = new Map<string, string>();
  /** Changes all machines at once; gives what each is to run by this and by the push before. */
  async function pushAll(hosts: Readonly<Record<string, LabHost>>): Promise<{ sha: string; old: Map<string, string>; wanted: Map<string, string> }> {
    const old = wantedBefore;
    const sha = await lab.push('Change all', hosts);
    wantedBefore = await lab.published(sha);
    return { sha, old, wanted: wantedBefore };
  }
  const all = (host: LabHost, more: Readonly<Record<string, LabHost>> = {}): Record<string, LabHost> =>
    Object.fromEntries([...CANARIES, ...OTHERS].map((name) => [name, another({ ...host, ...more[name] })]));

  test('canaries go first; who is off does not hold it, who says "later" goes at the deadline, and who returns catches up', async () => {
    await lab.fleet.push('Two rings', { 'floe.json': JSON.stringify(RINGS) });
    const first = await pushAll(all({}, { bob: patient(20) }));
    for (const [name, toplevel] of first.wanted) await lab.runs(name, toplevel);
    await rollout(first.sha, 'is complete', ({ state }) => state === 'COMPLETE');

    await lab.guest('dan').cutPower();
    await lab.pauseAt('can1', 'health');
    const { sha, old, wanted } = await pushAll(all({}, { can1: { health: [pausedCheck('passes', LONG_SECONDS)] }, bob: patient(20) }));
    await lab.isAt('can1', 'health');
    await lab.runs('can2', wanted.get('can2') ?? '');
    const waiting = await rollout(sha, 'is at the canaries', ({ rings }) => rings[0]?.counts.verified === 2);
    expect(waiting.state).toBe('ROLLING');
    for (const name of ['ada', 'bob']) {
      expect((await lab.machine(name)).current, name).toBe(old.get(name));
      expect((await lab.fleet.hostView(name)).standing, name).toBe('queued');
    }
    await lab.goOn('can1', 'health');
    await lab.told('bob', 'waits for its window', ({ detail }) => detail?.code === 'WINDOW_CLOSED');
    await lab.agentCommand('bob', 'later 30m');
    await lab.told('bob', 'is put off', ({ detail }) => detail?.code === 'LATER');
    const complete = await rollout(sha, 'is complete', ({ state }) => state === 'COMPLETE');
    expect(complete.description).toMatch(/1 away/);
    // The user's "later" ends at the deadline.
    await lab.runs('bob', wanted.get('bob') ?? '');
    await lab.guest('dan').start();
    expect((await lab.machine('dan')).current).toBe(old.get('dan'));
    await lab.runs('dan', wanted.get('dan') ?? '');
    for (const [name, toplevel] of wanted) await lab.runs(name, toplevel);
    noteOutcome({ fault: 'a machine is off during a rollout by rings', where: 'IDLE', outcome: 'complete without it; it catches up' });
    noteOutcome({ fault: '"later" during a rollout by rings', where: 'DEFERRED', outcome: 'complete without it; new system at the deadline' });
  });

  test('a canary that fails stops it, the others never see it, and an abort with revert brings the other canaries back', async () => {
    const broken = { health: [pausedCheck('fails', LONG_SECONDS)] };
    const staged = newKernel({ policy: { reboot: { when: 'never' } } });
    await lab.pauseAt('can1', 'health');
    const { sha, old, wanted } = await pushAll({ ...all({}, { can1: broken }), can3: staged });
    const before = (name: string): string => old.get(name) ?? '';
    await lab.runs('can2', wanted.get('can2') ?? '');
    await lab.reaches('can3', 'BOOT_STAGED');
    await lab.goOn('can1', 'health');
    await lab.putBack('can1', before('can1'), 'HEALTH_CHECK_FAILED', /slow/);
    const paused = await rollout(sha, 'is paused', ({ state }) => state === 'PAUSED');
    expect(paused.pause?.failures.map(({ host }) => host)).toEqual(['can1']);
    expect(paused.pause?.description).toMatch(/slow/);
    for (const name of OTHERS) expect((await lab.machine(name)).current, name).toBe(before(name));
    noteOutcome({ fault: 'a canary fails', where: 'VERIFYING', outcome: 'rollout paused, the other ring never gets it' });
    // What waits for a restart must not start it while the rollout is paused.
    await lab.runs('can3', before('can3'));
    await eventually('can3 starts what it had', async () => ((await lab.startsNext('can3')) === before('can3') ? true : undefined));
    noteOutcome({ fault: 'the rollout is paused', where: 'BOOT_STAGED', outcome: 'taken back: the old system starts' });

    const body = JSON.stringify({ commit: sha, reason: 'the check fails', revert: true });
    const aborted = await lab.fleet.request('/api/rollout/abort', { method: 'POST', body });
    expect(aborted.ok, await aborted.clone().text()).toBe(true);
    for (const name of lab.guests.keys()) await lab.runs(name, before(name));
    const over = await rollout(sha, 'is reverted', ({ revert }) => revert?.back === revert?.total);
    expect(over.state).toBe('ABORTED');
    noteOutcome({ fault: 'abort with revert', where: 'SUCCEEDED', outcome: 'the system that was stable, by permit' });

    // The next commit passes them all again.
    const fixed = await pushAll(all({}));
    for (const [name, toplevel] of fixed.wanted) await lab.runs(name, toplevel);
    await rollout(fixed.sha, 'is complete', ({ state }) => state === 'COMPLETE');
  });
});
