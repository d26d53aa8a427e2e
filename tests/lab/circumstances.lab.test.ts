import { eventually, isLabReady } from '@floe/testkit';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type LabHost } from './hosts.ts';
import { LabFleet } from './lab-fleet.ts';
import { noteOutcome } from './outcomes.ts';

const { isReady, why } = await isLabReady();
const { isReady: hasNewNix, why: whyNot } = await isLabReady('trixie');

const MB = 1_000_000;
const FAKETIME = '/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1';
const clockOff = (offset: string): LabHost => ({
  settings: { LD_PRELOAD: FAKETIME, FAKETIME: offset, FAKETIME_DONT_FAKE_MONOTONIC: '1', FAKETIME_ONLY_CMDS: 'node' },
});
const motd = (text: string, more: LabHost = {}): LabHost => ({ ...more, etc: { motd: text } });

describe.skipIf(!isReady)(`circumstances${isReady ? '' : ` (skipped: ${why})`}`, () => {
  let lab: LabFleet;
  beforeAll(async () => {
    lab = await LabFleet.create(5, {
      ada: {},
      bob: { storeMegabytes: 24 },
      cyd: clockOff('+365d'),
      dan: clockOff('-365d'),
      ...(hasNewNix ? { eve: { suite: 'trixie' } } : {}),
    });
  });
  afterEach(async () => {
    await lab.restingAreTidy();
  });
  afterAll(async () => {
    await lab[Symbol.asyncDispose]();
  });

  test.skipIf(!hasNewNix)(`a machine with Nix 2.26 is kept like one with Nix 2.8${hasNewNix ? '' : ` (skipped: ${whyNot})`}`, async () => {
    expect(await lab.guest('eve').sh('nix --version')).toMatch(/2\.2\d/);
    const { wanted } = await lab.change('eve', motd('new'));
    await lab.runs('eve', wanted);
    await lab.isTidy('eve');
    const next = await lab.change('eve', motd('bad', { health: [{ name: 'no', command: ['/bin/false'] }] }));
    await lab.told('eve', 'was rolled back', ({ standing }) => standing === 'rolled-back');
    await lab.runs('eve', next.old);
    noteOutcome({ fault: 'Nix 2.26 instead of 2.8', where: 'all', outcome: 'new system; a bad one rolled back' });
  });

  test('on a slow line, what came before a cut is not downloaded again', async () => {
    const guest = lab.guest('ada');
    await guest.slowDown('8mbit');
    lab.cache.requests.length = 0;
    const { wanted } = await lab.change('ada', { ballast: 2 * MB });
    // One archive is there, others are on their way.
    const done = await eventually('a part was downloaded', async () => {
      const paths = await guest.sh(
        'for p in /nix/store/*-ballast-*; do [ ! -f "$p" ] || nix-store --check-validity "$p" 2>/dev/null && echo "$p"; done; true',
      );
      return paths === '' ? undefined : paths.split('\n').length;
    });
    await guest.unplug();
    await lab.told('ada', 'is away', ({ isConnected }) => !isConnected, 120_000);
    await guest.plug();
    await lab.runs('ada', wanted);
    const archives = lab.cache.requests.filter((path) => path.startsWith('/nar/'));
    const repeated = archives.length - new Set(archives).size;
    expect(done).toBeGreaterThan(0);
    // At most what was on its way when the line was cut comes twice.
    expect(repeated).toBeLessThanOrEqual(4 - done);
    await guest.slowDown('1gbit');
    noteOutcome({
      fault: '8 Mbit/s, cut in the download',
      where: 'DOWNLOADING',
      outcome: `new system, ${repeated} of ${new Set(archives).size} archives twice`,
    });
  });

  test('a disk without room: said before and in the download, and it goes on when there is some', async () => {
    const guest = lab.guest('bob');
    const { wanted } = await lab.change('bob', { ballast: 7 * MB });
    const view = await lab.told('bob', 'has no room', ({ detail }) => detail?.code === 'DISK_FULL');
    expect(view.detail?.message).toMatch(/only \d+ MB are free, \d+ MB are needed/);
    await guest.resizeStore(128);
    await lab.killAgent('bob');
    await lab.runs('bob', wanted);
    noteOutcome({ fault: 'disk full', where: 'DOWNLOADING', outcome: 'said; new system when there was room' });
  });

  test('a disk that fills in the middle of the download', async () => {
    const guest = lab.guest('bob');
    await guest.slowDown('8mbit');
    const { old, wanted } = await lab.change('bob', { ballast: 3 * MB });
    await lab.reaches('bob', 'DOWNLOADING');
    await eventually('a part is there', async () => (Number(await guest.sh('ls /nix/store | grep -c ballast || true')) > 2 ? true : undefined));
    await guest.sh('dd if=/dev/zero of=/nix/filler bs=1M >/dev/null 2>&1 || true');
    await lab.logs('bob', 'No space left on device');
    await lab.told('bob', 'has no room', ({ detail }) => detail?.code === 'DISK_FULL', 90_000);
    expect((await lab.machine('bob')).current).toBe(old);
    await guest.sh('rm /nix/filler');
    await guest.slowDown('1gbit');
    await lab.killAgent('bob');
    await lab.runs('bob', wanted);
    noteOutcome({ fault: 'disk fills', where: 'DOWNLOADING (in Nix)', outcome: 'old system, said; new system when there was room' });
  });

  test('a disk that fills between the download and the switch', async () => {
    const guest = lab.guest('bob');
    await lab.pauseAt('bob', 'dry-activate-start');
    const { old, wanted } = await lab.change('bob', motd('after'));
    await lab.isAt('bob', 'dry-activate-start');
    await guest.sh('dd if=/dev/zero of=/nix/filler bs=1M >/dev/null 2>&1 || true');
    await lab.goOn('bob', 'dry-activate-start');
    await lab.told('bob', 'has no room', ({ detail }) => detail?.code === 'DISK_FULL');
    expect((await lab.machine('bob')).current).toBe(old);
    await guest.sh('rm /nix/filler');
    await lab.killAgent('bob');
    await lab.runs('bob', wanted);
    await lab.isTidy('bob');
    noteOutcome({ fault: 'disk full', where: 'STAGED', outcome: 'old system, said; new system when there was room' });
  });

  test.each([
    ['cyd', 'a year ahead', '+365d'],
    ['dan', 'a year behind', '-365d'],
  ])('on %s the clock is %s: nothing of it is believed', async (name, words, offset) => {
    const year = await lab.guest(name).sh('journalctl --unit=floe-agent --output=cat | grep -o \'"time":"[0-9]*\' | tail -1 | cut -d\'"\' -f4');
    expect(Math.abs(Number(year) - new Date().getUTCFullYear())).toBe(1);
    const { wanted } = await lab.change(name, motd('new', clockOff(offset)));
    await lab.runs(name, wanted);
    noteOutcome({ fault: `clock ${words}`, where: 'all', outcome: 'new system' });
  });
});
