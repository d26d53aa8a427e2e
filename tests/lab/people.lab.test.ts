import { isLabReady } from '@floe/testkit';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { another, pausedCheck } from './hosts.ts';
import { LabFleet } from './lab-fleet.ts';
import { noteOutcome } from './outcomes.ts';

const { isReady, why } = await isLabReady();

/** Opens for a minute a year: it is closed. */
const CLOSED = { windows: [{ cron: '0 0 29 2 *', durationMinutes: 1, timeZone: 'UTC' }] };
const CORRECT_NOW = { drift: { action: 'correct-now' } };
const CORRECT_LATER = { drift: { action: 'correct-later', afterMinutes: 0.1 } };

describe.skipIf(!isReady)(`people at the machine${isReady ? '' : ` (skipped: ${why})`}`, () => {
  let lab: LabFleet;
  beforeAll(async () => {
    lab = await LabFleet.create(4, {
      ada: another(),
      bob: another({ policy: CLOSED, etc: { 'hello-2.12': '' } }),
      cyd: another(),
      dan: another({ policy: CORRECT_NOW }),
    });
  });
  afterEach(async () => {
    await lab.restingAreTidy();
  });
  afterAll(async () => {
    await lab[Symbol.asyncDispose]();
  });

  const agent = async (name: string, command: string): Promise<string> => await lab.agentCommand(name, command);

  test('who goes back is not fought, until they resume or another system is forced', async () => {
    const { old, wanted } = await lab.change('ada', another());
    await lab.runs('ada', wanted);
    expect(await agent('ada', 'rollback --yes')).toMatch(/^Your computer goes back\./);
    await lab.runs('ada', old);
    await lab.told('ada', 'is kept by a user', ({ standing, detail }) => standing === 'local-override' && detail?.code === 'LOCAL_OVERRIDE');
    // A crash does not make it forget.
    await lab.killAgent('ada');
    await lab.says('ada', 'is there again', ({ isRunning }) => isRunning);
    expect((await lab.machine('ada')).current).toBe(old);
    noteOutcome({ fault: 'user rollback', where: 'SUCCEEDED', outcome: 'old system, kept and shown' });
    await agent('ada', 'resume');
    await lab.runs('ada', wanted);
    await lab.isTidy('ada');
    noteOutcome({ fault: 'user resume', where: 'IDLE (override)', outcome: 'new system' });

    await agent('ada', 'rollback --yes');
    await lab.told('ada', 'is kept by a user', ({ standing }) => standing === 'local-override');
    // Another system within a day waits, an administrator's word ends it.
    const next = await lab.change('ada', another());
    expect((await lab.machine('ada')).current).not.toBe(next.wanted);
    const forced = await lab.fleet.request('/api/hosts/ada/override', { method: 'DELETE', body: JSON.stringify({ reason: 'the test' }) });
    expect(forced.ok).toBe(true);
    await lab.runs('ada', next.wanted);
    noteOutcome({ fault: 'user rollback, administrator resumes', where: 'IDLE (override)', outcome: 'newest system' });
  });

  test('a switch by hand is reported, and not fought', async () => {
    const { old, wanted } = await lab.change('cyd', another());
    await lab.runs('cyd', wanted);
    await lab.guest('cyd').sh(`${old}/bin/switch-to-configuration test`);
    const view = await lab.told('cyd', 'is kept', ({ standing }) => standing === 'local-override');
    expect(view.detail?.message).toMatch(/switched this machine by hand/);
    expect((await lab.machine('cyd')).current).toBe(old);
    noteOutcome({ fault: 'switch by hand', where: 'SUCCEEDED', outcome: 'kept and shown' });
    // Taken back by hand as well: all is as it should be again.
    await lab.guest('cyd').sh(`${wanted}/bin/switch-to-configuration test`);
    await lab.told('cyd', 'is in sync', ({ standing }) => standing === 'in-sync');
  });

  test('who switches by hand in the middle of a switch, or of the rollback, keeps what they chose', async () => {
    const guest = lab.guest('cyd');
    const third = await guest.sh('readlink -f /nix/var/nix/profiles/system-1-link');
    const resumed = async (): Promise<void> => {
      const forced = await lab.fleet.request('/api/hosts/cyd/override', { method: 'DELETE', body: JSON.stringify({ reason: 'the test' }) });
      expect(forced.ok).toBe(true);
    };
    const isKept = async (): Promise<void> => {
      await lab.told('cyd', 'is kept', ({ standing, observed }) => standing === 'local-override' && observed.current === third);
      expect((await lab.machine('cyd')).current).toBe(third);
      await lab.isTidy('cyd');
    };
    await lab.pauseAt('cyd', 'health');
    const { wanted } = await lab.change('cyd', another({ health: [pausedCheck('passes')] }));
    await lab.isAt('cyd', 'health');
    await guest.sh(`${third}/bin/switch-to-configuration test`);
    await lab.goOn('cyd', 'health');
    await isKept();
    noteOutcome({ fault: 'switch by hand', where: 'VERIFYING', outcome: 'kept and shown' });
    await resumed();
    await lab.runs('cyd', wanted);

    // The check was made once more meanwhile, and said where it is.
    await lab.goOn('cyd', 'health');
    await lab.pauseAt('cyd', 'health');
    await lab.change('cyd', another({ health: [pausedCheck('fails')] }));
    await lab.isAt('cyd', 'health');
    await lab.pauseAt('cyd', 'test-activated');
    await guest.sh(`systemd-run --quiet --collect --unit=by-hand ${third}/bin/switch-to-configuration test`);
    await lab.isAt('cyd', 'test-activated');
    await lab.goOn('cyd', 'health');
    await lab.logs('cyd', 'the rollback waits for another switch.*by-hand.service');
    await lab.goOn('cyd', 'test-activated');
    await isKept();
    noteOutcome({ fault: 'switch by hand', where: 'ROLLING_BACK', outcome: 'kept and shown' });
  });

  test('a system waits for its window, says why, is put off and brought forward by a user', async () => {
    const { old, wanted } = await lab.change('bob', another({ policy: CLOSED, etc: { 'hello-2.13': '' } }));
    const waiting = await lab.told('bob', 'waits', ({ detail }) => detail?.code === 'WINDOW_CLOSED');
    expect(waiting.standing).toBe('waiting');
    expect((await lab.machine('bob')).current).toBe(old);
    expect(await agent('bob', 'status --verbose')).toMatch(/maintenance window/);
    expect(await agent('bob', 'status')).toMatch(/^Your computer will update [a-z].* at \d\d:\d\d\./);
    const changes = await agent('bob', 'changes');
    expect(changes).toMatch(/hello +2\.12 → 2\.13/);
    expect(changes).not.toContain('/nix/store');
    const verbose = await agent('bob', 'changes --verbose');
    for (const words of [`from ${old}`, `to   ${wanted}`]) expect(verbose).toContain(words);
    await lab.killAgent('bob');
    await lab.says('bob', 'is there again, and waits', ({ isRunning, state }) => isRunning && state === 'DEFERRED');
    noteOutcome({ fault: 'kill -9 of the agent', where: 'DEFERRED', outcome: 'waits on' });
    await agent('bob', 'later 30m');
    await lab.told('bob', 'is put off', ({ detail }) => detail?.code === 'LATER');
    noteOutcome({ fault: 'maintenance window, "later"', where: 'DEFERRED', outcome: 'old system, with the reason' });
    await agent('bob', 'now');
    await lab.runs('bob', wanted);
    noteOutcome({ fault: '"now"', where: 'DEFERRED', outcome: 'new system' });
  });

  test('somebody who switches by hand while a system waits is not switched over when its time comes', async () => {
    const { old, wanted } = await lab.change('bob', another({ policy: CLOSED }));
    const byHand = (await lab.guest('bob').sh('readlink -f /nix/var/nix/profiles/system-1-link')) || '';
    await lab.told('bob', 'waits', ({ detail }) => detail?.code === 'WINDOW_CLOSED');
    expect(byHand).not.toBe(old);
    await lab.guest('bob').sh(`${byHand}/bin/switch-to-configuration test`);
    await lab.told('bob', 'is kept', ({ standing }) => standing === 'local-override');
    await lab.isTidy('bob');
    await agent('bob', 'resume');
    await lab.told('bob', 'waits again', ({ detail }) => detail?.code === 'WINDOW_CLOSED');
    await agent('bob', 'now');
    await lab.runs('bob', wanted);
    noteOutcome({ fault: 'switch by hand', where: 'DEFERRED', outcome: 'kept and shown; new system after "resume"' });
  });

  test('a switch by hand is corrected at once, or after a time, where the policy says so', async () => {
    const guest = lab.guest('dan');
    const byHand = async (path: string): Promise<void> => void (await guest.sh(`${path}/bin/switch-to-configuration test`));
    const { old, wanted } = await lab.change('dan', another({ policy: CORRECT_NOW }));
    await lab.runs('dan', wanted);
    await byHand(old);
    await lab.runs('dan', wanted);
    noteOutcome({ fault: 'switch by hand, drift policy correct-now', where: 'SUCCEEDED', outcome: 'new system again' });

    const first = await lab.change('dan', another({ policy: CORRECT_LATER }));
    await lab.runs('dan', first.wanted);
    const second = await lab.change('dan', another({ policy: CORRECT_LATER }));
    await lab.runs('dan', second.wanted);
    await byHand(first.wanted);
    await lab.told('dan', 'is let be for a time', ({ standing }) => standing === 'local-override');
    expect((await lab.machine('dan')).current).toBe(first.wanted);
    await lab.runs('dan', second.wanted);
    noteOutcome({ fault: 'switch by hand, drift policy correct-later', where: 'SUCCEEDED', outcome: 'kept for its time, then the new system again' });
  });

  test('a system that waits for a window goes ahead at the deadline', async () => {
    const policy = { ...CLOSED, deadlineHours: 0.002 };
    const first = await lab.change('bob', another({ policy }));
    await lab.told('bob', 'waits', ({ detail, stateToplevel }) => detail?.code === 'WINDOW_CLOSED' && stateToplevel === first.wanted);
    await agent('bob', 'now');
    await lab.runs('bob', first.wanted);
    const { wanted } = await lab.change('bob', another({ policy }));
    const waiting = await lab.told('bob', 'waits', ({ detail, stateToplevel }) => detail?.code === 'WINDOW_CLOSED' && stateToplevel === wanted);
    expect(waiting.detail?.message).toMatch(/goes ahead .* at the latest/);
    await lab.runs('bob', wanted);
    noteOutcome({ fault: 'the window never opens', where: 'DEFERRED', outcome: 'new system at the deadline' });
  });
});
