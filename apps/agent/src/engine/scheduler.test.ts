import type { AgentEvent } from '@floe/model';
import { systemClock } from '@floe/runtime';
import { expect, test } from 'vitest';
import { journalWith } from '../test/fixtures.ts';
import { until } from '../test/until.ts';
import { Scheduler } from './scheduler.ts';

test('a restart that somebody wants now does not begin before its system is staged, nor when that fails', async () => {
  const events: AgentEvent[] = [];
  let end: (event: AgentEvent) => void = () => undefined;
  const staging = new Promise<AgentEvent>((resolve) => {
    end = resolve;
  });
  let asked = 0;
  const scheduler = new Scheduler({
    runJob: async () => await staging,
    now: () => 0,
    sendReady: () => undefined,
    dispatch: (event) => void events.push(event),
    mayReboot: async () => {
      asked += 1;
      return await Promise.resolve({ isDue: true, detail: { code: 'RESTARTING', message: 'now' }, until: null });
    },
    onBug: (error) => {
      throw error;
    },
    switchesOutliveAgent: true,
    clock: systemClock,
    random: () => 0.5,
  });
  scheduler.startJob('stage-boot', journalWith());
  scheduler.awaitReboot(1);
  await new Promise(setImmediate);
  expect([asked, events]).toEqual([0, []]);
  // The journal hears of the end first: with a failure, nothing is left that a restart would be for.
  end({ type: 'boot-stage-failed', epoch: 1, tookMs: 0, detail: { code: 'BOOT_NOT_SET', message: '/boot is full' } });
  await until(() => events.length === 2);
  expect(events.map(({ type }) => type)).toEqual(['boot-stage-failed', 'reboot-due']);
  await scheduler.stop(0, () => false);
});
