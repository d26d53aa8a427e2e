import { eventually, isLabReady } from '@floe/testkit';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { newKernel, pausedCheck } from './hosts.ts';
import { LabFleet } from './lab-fleet.ts';
import { noteOutcome } from './outcomes.ts';

const { isReady, why } = await isLabReady();
const { isReady: hasNewSystemd } = await isLabReady('trixie');

const RESTARTS = { policy: { reboot: { when: 'idle' } } };
const NAMES = ['ada', ...(hasNewSystemd ? ['eve'] : [])];
// By default it blocks idle, sleep and shutdown.
const BACKUP = 'systemd-inhibit --mode=block --who=Backup --why="the disk is being copied" /bin/sleep infinity';

describe.skipIf(!isReady)(`programs that block a restart${isReady ? '' : ` (skipped: ${why})`}`, () => {
  let lab: LabFleet;
  beforeAll(async () => {
    lab = await LabFleet.create(10, { ada: RESTARTS, ...(hasNewSystemd ? { eve: { ...RESTARTS, suite: 'trixie' } } : {}) });
  });
  afterEach(async () => {
    await lab.restingAreTidy();
  });
  afterAll(async () => {
    await lab[Symbol.asyncDispose]();
  });

  // In systemd 252 nothing blocks root; in 257 root is refused like others.
  test.each(NAMES)('a backup on %s that blocks the restart is waited for, and the update blocks a shutdown', async (name) => {
    const guest = lab.guest(name);
    await guest.sh(`systemd-run --quiet --collect --unit=backup ${BACKUP}`);
    await lab.pauseAt(name, 'health');
    const { starts } = guest;
    const { wanted } = await lab.change(name, newKernel({ ...RESTARTS, health: [pausedCheck('passes')] }));
    const waiting = await lab.told(name, 'waits for the backup', ({ detail }) => detail?.code === 'INHIBITED');
    expect(waiting.detail?.message).toBe('the next start runs it; waits: Backup: the disk is being copied');
    expect(guest.starts).toBe(starts);
    await guest.sh('systemctl stop backup');
    await lab.isAt(name, 'health');
    await lab.goOn(name, 'health');
    await lab.runs(name, wanted);
    // A staged system is the default before its verdict.
    await lab.told(name, 'is proved', ({ standing }) => standing === 'in-sync');
    await lab.isTidy(name);
    noteOutcome({ fault: 'a program blocks the restart', where: 'BOOT_STAGED', outcome: 'named and waited for; new system' });

    // The check has run several times since.
    await lab.goOn(name, 'health');
    await lab.pauseAt(name, 'health');
    const next = await lab.change(name, { ...lab.host(name), etc: { motd: 'without a restart' } });
    await lab.isAt(name, 'health');
    const ours = /^floe-agent .*\bshutdown:sleep:handle-lid-switch This computer is being updated +block$/m;
    await eventually('the agent blocks a shutdown', async () => ours.test(await guest.sh('systemd-inhibit --list')) || undefined, {
      explain: async () => await guest.log(),
    });
    await lab.goOn(name, 'health');
    await lab.runs(name, next.wanted);
    await lab.isTidy(name);
    expect(await guest.sh('systemd-inhibit --list')).not.toContain('floe-agent');
    noteOutcome({ fault: 'a lid is closed', where: 'VERIFYING', outcome: 'nothing: the agent blocks it until the verdict' });
  });

  test('the deadline passes over a program that blocks the restart', async () => {
    const name = NAMES.at(-1) ?? 'ada';
    const policy = { policy: { reboot: { when: 'idle', deadlineHours: 0.002 } } };
    const { kernel } = lab.host(name);
    const first = await lab.change(name, { ...policy, ...(kernel === undefined ? {} : { kernel }) });
    await lab.runs(name, first.wanted);
    await lab.guest(name).sh(`systemd-run --quiet --collect --unit=backup ${BACKUP}`);
    const { wanted } = await lab.change(name, newKernel(policy));
    await lab.runs(name, wanted);
    expect(await lab.guest(name).sh('readlink /run/booted-system')).toBe(wanted);
    noteOutcome({ fault: 'a program blocks the restart', where: 'BOOT_STAGED, at the deadline', outcome: 'restarted, new system' });
  });
});
