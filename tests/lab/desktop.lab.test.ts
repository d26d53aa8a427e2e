import { eventually, isLabReady } from '@floe/testkit';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Desktop } from './desktop.ts';
import { another, newKernel, pausedCheck } from './hosts.ts';
import { LabFleet } from './lab-fleet.ts';
import { noteOutcome } from './outcomes.ts';

const { isReady, why } = await isLabReady('desktop');

const RESTARTS = { policy: { reboot: { when: 'idle' } } };
/** The deadline comes after 18 s: late enough for a busy machine to be seen waiting for it. */
const AT_DEADLINE = { policy: { reboot: { when: 'idle', deadlineHours: 0.005 } } };
const inhibit = (what: string, mode: string, who: string, reason: string): string =>
  `systemd-inhibit --what=${what} --mode=${mode} --who=${who} --why="${reason}" /bin/sleep infinity`;
const CALL = inhibit('idle', 'block', 'Call', 'a video call');
const COPY = inhibit('shutdown', 'block', 'Files', 'a copy to a disk');

describe.skipIf(!isReady)(`a user's desktop${isReady ? '' : ` (skipped: ${why})`}`, () => {
  let lab: LabFleet;
  let ada: Desktop;
  beforeAll(async () => {
    lab = await LabFleet.create(11, { ada: { ...RESTARTS, suite: 'desktop' } });
    ada = new Desktop(lab.guest('ada'));
    await ada.login();
  });
  afterEach(async () => {
    await lab.restingAreTidy();
  });
  afterAll(async () => {
    await lab[Symbol.asyncDispose]();
  });

  test('a call, then a copy, of a user who is away from the screen are named and waited for', async () => {
    const guest = lab.guest('ada');
    await ada.start('call', CALL);
    await ada.start('music', inhibit('shutdown', 'delay', 'Music', 'it fades out'));
    const { starts } = guest;
    const { wanted } = await lab.change('ada', newKernel(RESTARTS));
    await lab.told('ada', 'waits for the user', ({ detail }) => detail?.code === 'SESSION_ACTIVE');
    await ada.lock();
    await lab.killAgent('ada');
    const waiting = await lab.told('ada', 'waits for the call', ({ detail }) => detail?.code === 'INHIBITED');
    expect(waiting.detail?.message).toBe('the next start runs it; waits: Call: a video call');
    expect(await lab.agentCommand('ada', 'status')).toContain('when this has ended: Call: a video call.');
    await ada.start('copy', COPY);
    await ada.stop('call');
    await lab.killAgent('ada');
    await lab.told('ada', 'waits for the copy', ({ detail }) => detail?.message === 'the next start runs it; waits: Files: a copy to a disk');
    expect(guest.starts).toBe(starts);
    await ada.stop('copy');
    await lab.killAgent('ada');
    await lab.runs('ada', wanted);
    expect(guest.starts).toBe(starts + 1);
    await lab.told('ada', 'is proved', ({ standing }) => standing === 'in-sync');
    noteOutcome({ fault: "a user's call, then a copy, block; music delays", where: 'BOOT_STAGED', outcome: 'named and waited for; new system' });
  });

  test('no user shuts the machine down between the switch and the verdict', async () => {
    await ada.login();
    const tried = async (where: string): Promise<void> => {
      const list = await ada.run('systemd-inhibit --list');
      if (!/^floe-agent .*\bshutdown:sleep:handle-lid-switch This computer is being updated +block$/m.test(list)) throw new Error(list);
      // As a desktop's menu asks for it. What suspends is not there in a guest.
      for (const action of ['Reboot', 'PowerOff']) {
        const call = `busctl call org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager ${action} b false`;
        await expect(ada.run(call), `${action} in ${where}`).rejects.toThrow(/inhibited|[Aa]ccess denied|authentication required/);
      }
    };
    const { starts } = lab.guest('ada');
    await lab.pauseAt('ada', 'test-activated');
    await lab.pauseAt('ada', 'health');
    const { wanted } = await lab.change('ada', another({ ...lab.host('ada'), health: [pausedCheck('passes')] }));
    await lab.isAt('ada', 'test-activated');
    await eventually('it is blocked', async () => ((await ada.run('systemd-inhibit --list')).includes('floe-agent') ? true : undefined));
    await tried('ACTIVATING');
    await lab.goOn('ada', 'test-activated');
    await lab.isAt('ada', 'health');
    await tried('VERIFYING');
    await lab.goOn('ada', 'health');
    await lab.runs('ada', wanted);
    await lab.isTidy('ada');
    expect(await ada.run('systemd-inhibit --list')).not.toContain('floe-agent');
    expect(lab.guest('ada').starts).toBe(starts);
    noteOutcome({ fault: 'a user shuts down or restarts the machine', where: 'ACTIVATING, VERIFYING', outcome: 'refused until the verdict' });
  });

  test('the way back of a restart passes over what a user blocks, and so does the deadline', async () => {
    const guest = lab.guest('ada');
    const { kernel = '' } = lab.host('ada');
    await lab.goOn('ada', 'health');
    await lab.pauseAt('ada', 'health');
    const { old } = await lab.change('ada', newKernel({ ...AT_DEADLINE, etc: { 'only-by-restart': '' }, health: [pausedCheck('fails')] }));
    await ada.lock();
    await lab.killAgent('ada');
    await lab.isAt('ada', 'health');
    await ada.login();
    await ada.start('copy', COPY);
    const { starts } = guest;
    await lab.goOn('ada', 'health');
    await lab.putBack('ada', old, 'HEALTH_CHECK_FAILED', /./);
    expect(guest.starts).toBe(starts + 1);
    noteOutcome({ fault: 'a user blocks the restart', where: 'ROLLING_BACK', outcome: 'restarted, old system' });

    // Its policy counts once it runs.
    const first = await lab.change('ada', another({ ...AT_DEADLINE, kernel }));
    await lab.runs('ada', first.wanted);
    await ada.login();
    await ada.start('copy', COPY);
    const { wanted } = await lab.change('ada', newKernel(AT_DEADLINE));
    await lab.told('ada', 'waits for user and copy', ({ detail }) => detail?.message.includes('Files: a copy to a disk') ?? false);
    await lab.runs('ada', wanted);
    expect(await guest.sh('readlink /run/booted-system')).toBe(wanted);
    noteOutcome({ fault: 'a user blocks the restart', where: 'BOOT_STAGED, at the deadline', outcome: 'restarted, new system' });
  });
});
