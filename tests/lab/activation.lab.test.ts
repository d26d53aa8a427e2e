import { readFile } from 'node:fs/promises';
import { exec } from '@floe/runtime';
import { isLabReady } from '@floe/testkit';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { another } from './hosts.ts';
import { LabFleet } from './lab-fleet.ts';
import { noteOutcome } from './outcomes.ts';

const { isReady, why } = await isLabReady();

describe.skipIf(!isReady)(`activation on real systemd machines${isReady ? '' : ` (skipped: ${why})`}`, () => {
  let lab: LabFleet;
  beforeAll(async () => {
    lab = await LabFleet.create(0, { ada: {} });
  });
  afterEach(async () => {
    await lab.restingAreTidy();
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
    const inside = async (script: string) => (await exec('nsenter', ['--target', String(pid), '--mount', '/bin/sh', '-c', script])).exitCode === 0;
    expect(await inside('touch /var/lib/floe-agent/probe && rm /var/lib/floe-agent/probe')).toBe(true);
    for (const file of ['/etc/probe', '/usr/probe', '/proc/sys/vm/drop_caches']) expect(await inside(`: >${file}`), file).toBe(false);
  });

  test('an agent that cannot start, and another switch that is stuck: the watchdog ends that and goes back', async () => {
    const QUICK_SWITCH = { settings: { FLOE_SWITCH_TIMEOUT_SECONDS: '2' } };
    const before = await lab.change('ada', another(QUICK_SWITCH));
    await lab.runs('ada', before.wanted);
    await lab.pauseAt('ada', 'test-end');
    const { old } = await lab.change('ada', another({ ...QUICK_SWITCH, agent: 'broken' }));
    await lab.isAt('ada', 'test-end');
    // In line behind the switch: it holds the lock from its end on.
    await lab.holdSwitchLock('ada');
    await lab.goOn('ada', 'test-end');
    await lab.putBack('ada', old, 'WATCHDOG', /no verdict came in time/, 120_000);
    expect(await lab.guest('ada').sh('systemctl is-active by-hand.service || true')).not.toBe('active');
    noteOutcome({
      fault: 'the new agent does not start, the switch lock is held for good',
      where: 'VERIFYING',
      outcome: 'old system, by the watchdog',
    });
  }, 180_000);
});
