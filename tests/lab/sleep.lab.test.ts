import { eventually, isLabReady } from '@floe/testkit';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { another, newKernel, pausedCheck, type LabHost, type LabMachine } from './hosts.ts';
import { LabFleet } from './lab-fleet.ts';
import { CLOCK_SETTINGS, clockFiles, setClock } from './machine-clock.ts';
import { noteOutcome } from './outcomes.ts';

const { isReady, why } = await isLabReady();
const { isReady: hasNewSystemd } = await isLabReady('trixie');

const HOUR_MS = 3600_000;
const YEAR_MS = 365 * 24 * HOUR_MS;
/** Longer than every limit of a switch, a check or a download. */
const NIGHT_MS = 9 * HOUR_MS;
/** From waking up to a new connection. */
const BACK_WITHIN_MS = 5_000;
const MB = 1_000_000;

const HOST: LabHost = { ...CLOCK_SETTINGS, policy: { reboot: { when: 'idle' } } };
const TRIES: LabHost = { ...HOST, trials: true };
const machine: LabMachine = { ...HOST, files: clockFiles() };
/** Where there is one: systemd 257, whose logind refuses a blocked restart to root, too. */
const newer: LabMachine = { ...machine, ...(hasNewSystemd ? { suite: 'trixie' } : {}) };

describe.skipIf(!isReady)(`machines that sleep, and clocks that are wrong${isReady ? '' : ` (skipped: ${why})`}`, () => {
  let lab: LabFleet;
  const slept = new Map<string, number>();
  beforeAll(async () => {
    lab = await LabFleet.create(15, {
      ada: machine,
      bob: newer,
      cyd: newer,
      dan: { ...HOST, files: clockFiles(-30 * YEAR_MS) },
      fay: { ...machine, ...TRIES },
      eve: { ...HOST, files: clockFiles(10 * YEAR_MS) },
    });
  });
  afterEach(async () => {
    await lab.restingAreTidy();
  });
  afterAll(async () => {
    await lab[Symbol.asyncDispose]();
  });

  /** Logind says that the machine is about to sleep, or awake again. */
  const announce = async (name: string, isSleeping: boolean): Promise<string> =>
    await lab.guest(name).sh(`busctl emit /org/freedesktop/login1 org.freedesktop.login1.Manager PrepareForSleep b ${isSleeping}`);

  /** The lid is closed in the evening, and opened in the morning; then there is a new connection. */
  async function sleepsForANight(name: string): Promise<void> {
    const guest = lab.guest(name);
    const sleptMs = (slept.get(name) ?? 0) + NIGHT_MS;
    slept.set(name, sleptMs);
    await announce(name, true);
    await guest.unplug();
    await guest.freeze();
    await setClock(guest, { sleptMs, aheadMs: 0 });
    await guest.plug();
    const wokeAt = Date.now();
    await guest.thaw();
    await announce(name, false);
    await eventually(
      `${name} has a new connection`,
      async () => {
        const { server } = JSON.parse(await lab.agentCommand(name, 'status --json')) as { server?: { connected: boolean; since: number | null } };
        return server?.connected === true && (server.since ?? 0) - sleptMs >= wokeAt ? true : undefined;
      },
      { timeoutMs: BACK_WITHIN_MS, everyMs: 20, explain: async () => await guest.log() },
    );
  }

  const hasState = async (name: string, state: string): Promise<void> => expect((await lab.journal(name))?.state).toBe(state);

  /** The first try came through. */
  async function isOnFirstTry(name: string, wanted: string): Promise<void> {
    await lab.runs(name, wanted);
    await lab.told(name, 'is in sync', ({ standing }) => standing === 'in-sync');
    const log = await lab.guest(name).sh('journalctl --unit=floe-agent --output=cat --no-pager');
    expect(log.match(/"state":"(?:ROLLING_BACK|ROLLED_BACK|BLOCKED|REJECTED)"/g) ?? []).toEqual([]);
  }

  describe('each in its night', { concurrent: true }, () => {
    test('in a download', async () => {
      const guest = lab.guest('ada');
      await guest.slowDown('8mbit');
      const { wanted } = await lab.change('ada', { ...HOST, ballast: 2 * MB });
      await lab.reaches('ada', 'DOWNLOADING');
      await sleepsForANight('ada');
      await hasState('ada', 'DOWNLOADING');
      await guest.slowDown('1gbit');
      await isOnFirstTry('ada', wanted);
      noteOutcome({ fault: 'the machine sleeps for a night', where: 'DOWNLOADING', outcome: 'connected within 5 s; new system' });
    });

    test('while it tries a system for an hour, which ends by the hour', async () => {
      const before = await lab.change('fay', another(TRIES));
      await isOnFirstTry('fay', before.wanted);
      const now = await lab.change('fay', another(TRIES));
      await isOnFirstTry('fay', now.wanted);
      const body = JSON.stringify({ reason: 'was it there before?', commit: before.sha, forMs: HOUR_MS });
      await lab.fleet.request('/api/hosts/fay/trial', { method: 'POST', body });
      await lab.reaches('fay', 'TRYING');
      await sleepsForANight('fay');
      // Its own release is offered again at once: it is IDLE for a moment only.
      const isOver = async (): Promise<true | undefined> =>
        ['IDLE', 'SUCCEEDED'].includes((await lab.journal('fay'))?.state ?? '') ? true : undefined;
      await eventually('the trial is over', isOver, { explain: async () => await lab.guest('fay').log() });
      expect(await lab.machine('fay')).toEqual({ current: now.wanted, profile: now.wanted, default: now.wanted });
      await lab.isTidy('fay');
      noteOutcome({ fault: 'the machine sleeps for a night', where: 'TRYING, for an hour', outcome: 'old system when it wakes up' });
    });

    test('in a switch, and in its checks', async () => {
      await lab.pauseAt('bob', 'test-activated');
      await lab.pauseAt('bob', 'health');
      const { wanted } = await lab.change('bob', another({ ...HOST, health: [pausedCheck('passes')] }));
      await lab.isAt('bob', 'test-activated');
      await sleepsForANight('bob');
      await hasState('bob', 'ACTIVATING');
      await lab.goOn('bob', 'test-activated');
      await lab.isAt('bob', 'health');
      await sleepsForANight('bob');
      await hasState('bob', 'VERIFYING');
      await lab.goOn('bob', 'health');
      await isOnFirstTry('bob', wanted);
      noteOutcome({ fault: 'the machine sleeps for a night', where: 'ACTIVATING, VERIFYING', outcome: 'connected within 5 s; new system' });
    });

    test('before a restart, and in its checks', async () => {
      const guest = lab.guest('cyd');
      await guest.sh('systemd-run --quiet --collect --unit=backup systemd-inhibit --what=shutdown --who=Backup --why=copies /bin/sleep infinity');
      await lab.pauseAt('cyd', 'health');
      const { wanted } = await lab.change('cyd', newKernel({ ...HOST, health: [pausedCheck('passes')] }));
      await lab.told('cyd', 'waits', ({ detail }) => detail?.code === 'INHIBITED');
      await sleepsForANight('cyd');
      await hasState('cyd', 'BOOT_STAGED');
      const { starts } = guest;
      await guest.sh('systemctl stop backup');
      // It looks once a minute, and when it starts.
      await lab.killAgent('cyd');
      await lab.isAt('cyd', 'health');
      await sleepsForANight('cyd');
      await hasState('cyd', 'BOOT_VERIFYING');
      await lab.goOn('cyd', 'health');
      await isOnFirstTry('cyd', wanted);
      expect(guest.starts).toBe(starts + 1);
      noteOutcome({ fault: 'the machine sleeps for a night', where: 'BOOT_STAGED, BOOT_VERIFYING', outcome: 'connected within 5 s; new system' });
    });

    test.each([
      ['dan', '30 years behind', -30 * YEAR_MS],
      ['eve', '10 years ahead', 10 * YEAR_MS],
    ])('on %s the clock is %s until it is set, in the middle of a switch', async (name, words, aheadMs) => {
      const year = await lab.guest(name).sh('journalctl --unit=floe-agent --output=cat | grep -o \'"time":"[0-9]*\' | tail -1 | cut -d\'"\' -f4');
      expect(Number(year)).toBe(new Date(Date.now() + aheadMs).getUTCFullYear());
      const first = await lab.change(name, another(HOST));
      await isOnFirstTry(name, first.wanted);
      await lab.pauseAt(name, 'test-activated');
      const second = await lab.change(name, another(HOST));
      await lab.isAt(name, 'test-activated');
      await setClock(lab.guest(name), { sleptMs: 0, aheadMs: 0 });
      await lab.goOn(name, 'test-activated');
      await isOnFirstTry(name, second.wanted);
      const third = await lab.change(name, another(HOST));
      await isOnFirstTry(name, third.wanted);
      noteOutcome({ fault: `the clock is ${words}, and then set`, where: 'ACTIVATING', outcome: 'new system' });
    });
  });
});
