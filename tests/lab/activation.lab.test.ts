import { readFile } from 'node:fs/promises';
import type { HostView } from '@floe/protocol';
import { execInTest } from '@floe/runtime';
import { isLabReady } from '@floe/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { another, newKernel, pausedCheck } from './hosts.ts';
import { LabFleet } from './lab-fleet.ts';
import { noteOutcome } from './outcomes.ts';
import { holdSwitchLock } from './switch-lock.ts';

const { isReady, why } = await isLabReady();

/** The watchdog waits for as long as a switch may take. */
const QUICK_SWITCH = { settings: { FLOE_SWITCH_TIMEOUT_SECONDS: '3' } };

describe.skipIf(!isReady)(`activation on real systemd machines${isReady ? '' : ` (skipped: ${why})`}`, () => {
  let lab: LabFleet;
  beforeAll(async () => {
    lab = await LabFleet.create(0, { ada: {}, bob: {}, cyd: {}, dan: {}, eve: {} });
  });
  afterAll(async () => {
    await lab[Symbol.asyncDispose]();
  });

  test('a push is switched to, proved, made the default, and nothing is left behind', async () => {
    const sha = await lab.push('A new message', { ada: { etc: { motd: 'hello' } } });
    const toplevel = (await lab.published(sha)).get('ada') ?? '';
    await lab.runs('ada', toplevel);
    await lab.isTidy('ada');
    expect(await lab.guest('ada').sh('cat /etc/static/motd')).toBe('hello');
  });

  test('the agent works behind the fence of its module', async () => {
    const pid = await lab.guest('ada').mainPid('floe-agent.service');
    const status = await readFile(`/proc/${pid}/status`, 'utf8');
    expect(status).toMatch(/^NoNewPrivs:\t1$/m);
    expect(status).toMatch(/^Seccomp:\t2$/m);
    const inside = async (script: string) =>
      (await execInTest('nsenter', ['--target', String(pid), '--mount', '/bin/sh', '-c', script])).exitCode === 0;
    expect(await inside('touch /var/lib/floe-agent/probe && rm /var/lib/floe-agent/probe')).toBe(true);
    for (const file of ['/etc/probe', '/usr/probe', '/proc/sys/vm/drop_caches']) expect(await inside(`: >${file}`), file).toBe(false);
  });

  test('a system is tried and becomes no default: its end comes without the network, and a restart ends it', async () => {
    const guest = lab.guest('ada');
    const before = await lab.change('ada', another({ trials: true }));
    await lab.runs('ada', before.wanted);
    const now = await lab.change('ada', another({ trials: true }));
    await lab.runs('ada', now.wanted);
    const tries = async (forMs: number): Promise<void> => {
      const body = JSON.stringify({ reason: 'was it there before?', commit: before.sha, forMs });
      const answer = await lab.fleet.request('/api/hosts/ada/trial', { method: 'POST', body });
      expect(await answer.text()).toContain('counts in no gate');
      await lab.reaches('ada', 'TRYING');
      expect(await lab.machine('ada')).toEqual({ current: before.wanted, profile: now.wanted, default: now.wanted });
    };
    await tries(6_000);
    await guest.unplug();
    await lab.reaches('ada', 'IDLE');
    expect(await lab.machine('ada')).toEqual({ current: now.wanted, profile: now.wanted, default: now.wanted });
    await guest.plug();
    await lab.told('ada', 'is on what the fleet has', ({ standing }) => standing === 'in-sync');
    await lab.isTidy('ada');
    noteOutcome({ fault: 'no network at the end of a trial', where: 'TRYING', outcome: 'old system, by the agent' });

    await tries(3600_000);
    await guest.cutPower();
    await guest.start();
    await lab.runs('ada', now.wanted);
    await lab.told('ada', 'is on what the fleet has', ({ standing }) => standing === 'in-sync');
    await lab.isTidy('ada');
    noteOutcome({ fault: 'power cut', where: 'TRYING', outcome: 'old system, the trial is over' });
  });

  // Each on its own machine, and most of each is waiting for the watchdog's time.
  describe('what no agent sees to, the watchdog or the boot guard does', { concurrent: true }, () => {
    test('an agent that cannot start', async () => {
      const { old } = await lab.change('bob', { agent: 'broken' });
      await lab.putBack('bob', old, 'WATCHDOG', /no verdict in time/, 90_000);
      noteOutcome({ fault: 'the new agent does not start', where: 'VERIFYING', outcome: 'old system, by the watchdog' });
    });

    test('an agent that cannot start, and another switch that is stuck: that is ended', async () => {
      const before = await lab.change('ada', another(QUICK_SWITCH));
      await lab.runs('ada', before.wanted);
      await lab.pauseAt('ada', 'test-end');
      const { old } = await lab.change('ada', another({ ...QUICK_SWITCH, agent: 'broken' }));
      await lab.isAt('ada', 'test-end');
      // In line behind the switch: it holds the lock from its end on.
      await holdSwitchLock(lab.guest('ada'));
      await lab.goOn('ada', 'test-end');
      await lab.putBack('ada', old, 'WATCHDOG', /no verdict in time/, 180_000);
      expect(await lab.guest('ada').sh('systemctl is-active by-hand.service || true')).not.toBe('active');
      noteOutcome({
        fault: 'the new agent does not start, the switch lock is held forever',
        where: 'VERIFYING',
        outcome: 'old system, by the watchdog',
      });
    });

    test('the agent killed in ROLLBACK_FAILED', async () => {
      const paused = await lab.change('cyd', another(QUICK_SWITCH));
      await lab.runs('cyd', paused.wanted);
      await lab.pauseAt('cyd', 'health');
      const { old } = await lab.change('cyd', another({ health: [pausedCheck('fails')], ...QUICK_SWITCH }));
      await lab.isAt('cyd', 'health');
      await lab.refuse('cyd', 'test');
      await lab.goOn('cyd', 'health');
      await lab.reaches('cyd', 'ROLLBACK_FAILED', 120_000);
      await lab.killAgent('cyd');
      await lab.says('cyd', 'is there again', ({ isRunning, state }) => isRunning && state === 'ROLLBACK_FAILED');
      await lab.allow('cyd', 'test');
      await lab.runs('cyd', old);
      await lab.told('cyd', 'was rolled back', ({ standing }) => standing === 'rolled-back');
      await lab.isTidy('cyd');
      noteOutcome({ fault: 'kill -9 of the agent', where: 'ROLLBACK_FAILED', outcome: 'old system, by the watchdog' });
    });

    test('an agent that cannot start, and a specialisation that ran: that one comes back', async () => {
      const special = await lab.change('dan', { specialisations: { travel: { etc: { mode: 'travel' } } } });
      await lab.runs('dan', special.wanted);
      await lab.guest('dan').sh(`${special.wanted}/specialisation/travel/bin/switch-to-configuration test`);
      const { old } = await lab.change('dan', { agent: 'broken' });
      await lab.told('dan', 'was rolled back', ({ standing, detail }) => standing === 'rolled-back' && detail?.code === 'WATCHDOG', 120_000);
      expect(await lab.guest('dan').sh('cat /etc/static/mode')).toBe('travel');
      expect((await lab.machine('dan')).current).toBe(old);
      await lab.isTidy('dan');
      noteOutcome({
        fault: 'a specialisation ran, the new agent does not start',
        where: 'VERIFYING',
        outcome: 'the specialisation again, by the watchdog',
      });
    });

    test('a new kernel with an agent that cannot start', async () => {
      const reboots = { policy: { reboot: { when: 'idle' } } };
      const before = await lab.change('eve', another(reboots));
      await lab.runs('eve', before.wanted);
      const { old } = await lab.change('eve', newKernel({ ...reboots, agent: 'broken' }));
      const isBack = ({ standing, detail }: HostView): boolean => standing === 'rolled-back' && detail?.code === 'BOOT_FAILED';
      expect((await lab.told('eve', 'was rolled back', isBack, 120_000)).observed.booted).toBe(old);
      await lab.runs('eve', old);
      await lab.isTidy('eve');
      noteOutcome({ fault: 'restart: the new agent does not start', where: 'BOOT_VERIFYING', outcome: 'old system, by the boot guard' });
    });
  });
});
