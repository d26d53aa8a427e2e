import type { AgentState } from '@floe/model';
import { isLabReady } from '@floe/testkit';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { another } from './hosts.ts';
import { changeAndKillIn } from './kill-agent.ts';
import { LabFleet } from './lab-fleet.ts';
import { noteOutcome } from './outcomes.ts';
import { freeSwitchLock, holdSwitchLock } from './switch-lock.ts';

const { isReady, why } = await isLabReady();
const FAULT = 'kill -9 of the agent';

// BOOT_STAGED and BOOT_VERIFYING are in restart.lab.test.ts, DEFERRED is in people.lab.test.ts, ROLLBACK_FAILED in activation.lab.test.ts.
describe.skipIf(!isReady)(`the agent killed in each state${isReady ? '' : ` (skipped: ${why})`}`, () => {
  let lab: LabFleet;
  beforeAll(async () => {
    lab = await LabFleet.create(7, { ada: another() });
  });
  afterEach(async () => {
    await lab.restingAreTidy();
  });
  afterAll(async () => {
    await lab[Symbol.asyncDispose]();
  });

  /** Kills the agent, and waits until another one has told the server what it found. */
  async function killed(name: string): Promise<void> {
    const killedAt = Date.now();
    await lab.killAgent(name);
    await lab.says(name, 'is there again', ({ server }) => server?.connected === true && (server.since ?? 0) > killedAt);
  }

  test.each<AgentState>(['OFFERED', 'DOWNLOADING', 'STAGED', 'PRECHECK', 'ACTIVATING', 'VERIFYING', 'COMMITTING'])(
    'in %s: goes on from there',
    async (state) => {
      const { wanted } = await changeAndKillIn(lab, 'ada', state, another);
      await lab.runs('ada', wanted);
      await lab.isTidy('ada');
      noteOutcome({ fault: FAULT, where: state, outcome: 'new system' });
    },
  );

  test.each(['dry-activate-start', 'test-start', 'test-activated', 'test-end', 'boot-start', 'boot-written'])(
    'while the switch is at %s: that goes on, and its end is found',
    async (point) => {
      await lab.pauseAt('ada', point);
      const { wanted } = await lab.change('ada', another());
      await lab.isAt('ada', point);
      await lab.killAgent('ada');
      await lab.goOn('ada', point);
      await lab.runs('ada', wanted);
      await lab.isTidy('ada');
      noteOutcome({ fault: FAULT, where: point, outcome: 'new system' });
    },
  );

  test('in SUCCEEDED: nothing is switched', async () => {
    const { current } = await lab.machine('ada');
    await killed('ada');
    expect(await lab.machine('ada')).toEqual({ current, profile: current, default: current });
    await lab.isTidy('ada');
    noteOutcome({ fault: FAULT, where: 'SUCCEEDED', outcome: 'nothing changed' });
  });

  test('in ROLLING_BACK and ROLLED_BACK: the old system is rolled back, once', async () => {
    const { old } = await changeAndKillIn(lab, 'ada', 'ROLLING_BACK', () => another({ health: [{ name: 'no', command: ['/bin/false'] }] }));
    await lab.putBack('ada', old, 'HEALTH_CHECK_FAILED', /"no"/);
    noteOutcome({ fault: FAULT, where: 'ROLLING_BACK', outcome: 'old system, rolled back' });
    await killed('ada');
    expect((await lab.fleet.hostView('ada')).standing).toBe('rolled-back');
    expect(await lab.machine('ada')).toEqual({ current: old, profile: old, default: old });
    await lab.isTidy('ada');
    noteOutcome({ fault: FAULT, where: 'ROLLED_BACK', outcome: 'old system, not tried again' });
  });

  test('in BLOCKED: goes on once nothing is in the way', async () => {
    await holdSwitchLock(lab.guest('ada'));
    const { wanted } = await lab.change('ada', another());
    await lab.reaches('ada', 'BLOCKED');
    await freeSwitchLock(lab.guest('ada'));
    await lab.killAgent('ada');
    await lab.runs('ada', wanted);
    await lab.isTidy('ada');
    noteOutcome({ fault: FAULT, where: 'BLOCKED', outcome: 'new system' });
  });

  test('in IDLE, under a local override: it is not forgotten', async () => {
    const { old, wanted } = await lab.change('ada', another());
    await lab.runs('ada', wanted);
    await lab.guest('ada').sh(`${old}/bin/switch-to-configuration test`);
    await lab.told('ada', 'is kept', ({ standing }) => standing === 'local-override');
    expect((await lab.journal('ada'))?.state).toBe('IDLE');
    await killed('ada');
    expect((await lab.fleet.hostView('ada')).standing).toBe('local-override');
    expect((await lab.machine('ada')).current).toBe(old);
    noteOutcome({ fault: FAULT, where: 'IDLE (override)', outcome: 'kept and shown' });
  });
});
