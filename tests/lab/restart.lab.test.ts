import { eventually, isLabReady } from '@floe/testkit';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { newestKernel, newKernel, pausedCheck, type LabHost } from './hosts.ts';
import { LabFleet } from './lab-fleet.ts';
import { noteOutcome } from './outcomes.ts';

const { isReady, why } = await isLabReady();

const RESTARTS = { policy: { reboot: { when: 'idle' } } };

/** systemd-boot's command, as far as the agent uses it, over the boot loader of the lab. */
const BOOTCTL = `#!/bin/sh
set -eu
case $1 in
  list)
    separator='['
    for entry in /boot/loader/entries/*.conf; do
      printf '%s{"id":"%s","options":"quiet %s"}' "$separator" "\${entry##*/}" "$(cat "$entry")"
      separator=,
    done
    echo ']'
    ;;
  set-oneshot) if [ -n "$2" ]; then cp "/boot/loader/entries/$2" /boot/loader/once; else rm -f /boot/loader/once; fi ;;
  *) exit 1 ;;
esac
`;

describe.skipIf(!isReady)(`restarts into a new system${isReady ? '' : ` (skipped: ${why})`}`, () => {
  let lab: LabFleet;
  beforeAll(async () => {
    lab = await LabFleet.create(3, { ada: RESTARTS, bob: RESTARTS, cyd: {}, dan: RESTARTS, eve: RESTARTS });
  });
  afterEach(async () => {
    await lab.restingAreTidy();
  });
  afterAll(async () => {
    await lab[Symbol.asyncDispose]();
  });

  test('a new kernel is staged, started, proved, and kept', async () => {
    const { wanted } = await lab.change('ada', newKernel(RESTARTS));
    await lab.runs('ada', wanted);
    expect(lab.guest('ada').starts).toBe(2);
    expect(await lab.guest('ada').sh('readlink /run/booted-system')).toBe(wanted);
    await lab.isTidy('ada');
    noteOutcome({ fault: 'restart for a new kernel', where: 'BOOT_STAGED', outcome: 'new system, booted and verified' });
  });

  test('a new kernel whose health checks fail is rolled back', async () => {
    const { old } = await lab.change('dan', newKernel({ ...RESTARTS, health: [{ name: 'no', command: ['/bin/false'] }] }));
    await lab.told('dan', 'was rolled back', ({ standing, detail }) => standing === 'rolled-back' && detail?.code === 'HEALTH_CHECK_FAILED', 90_000);
    await lab.runs('dan', old);
    await lab.isTidy('dan');
    noteOutcome({ fault: 'restart: a health check fails', where: 'BOOT_VERIFYING', outcome: 'old system, rolled back' });
  });

  test('a machine that its users restart waits for them, says so, and survives what happens meanwhile', async () => {
    const { old, wanted } = await lab.change('cyd', newKernel({}));
    const waiting = await lab.told('cyd', 'waits for a restart', ({ detail }) => detail?.code === 'REBOOT_LEFT_TO_PEOPLE');
    expect(waiting.standing).toBe('waiting');
    expect((await lab.machine('cyd')).current).toBe(old);
    await lab.guest('cyd').sh('nix-collect-garbage >/dev/null 2>&1');
    await lab.guest('cyd').sh(`nix-store --check-validity ${wanted} && nix-store --check-validity ${old}`);
    noteOutcome({ fault: 'garbage collection', where: 'BOOT_STAGED', outcome: 'staged system kept' });
    const pid = await lab.guest('cyd').mainPid('floe-agent.service');
    await lab.killAgent('cyd');
    const isAnother = async (): Promise<boolean> => (await lab.guest('cyd').mainPid('floe-agent.service')) !== pid;
    await lab.says(
      'cyd',
      'is another, and waits for the restart',
      async ({ isRunning, state }) => isRunning && state === 'BOOT_STAGED' && (await isAnother()),
    );
    expect(await lab.machine('cyd')).toEqual({ current: old, profile: wanted, default: wanted });
    noteOutcome({ fault: 'kill -9 of the agent', where: 'BOOT_STAGED', outcome: 'waits on for the restart' });

    // A newer one takes its place.
    const newer = await lab.change('cyd', newKernel({ etc: { motd: 'newer' } }));
    await lab.told(
      'cyd',
      'has the newer one staged',
      ({ detail, stateToplevel }) => detail?.code === 'REBOOT_LEFT_TO_PEOPLE' && stateToplevel === newer.wanted,
    );
    expect(newer.wanted).not.toBe(wanted);
    await lab.guest('cyd').sh('systemctl --no-block reboot');
    await lab.runs('cyd', newer.wanted);
    await lab.isTidy('cyd');
    noteOutcome({ fault: 'newer push while a restart is awaited', where: 'BOOT_STAGED', outcome: 'the newest, once it was restarted' });
  });

  test('a /boot without room for the kernel: said before anything is changed', async () => {
    await lab.guest('cyd').sh('cp -r /boot /tmp/boot; mount -t tmpfs -o size=1m tmpfs /boot; cp -r /tmp/boot/. /boot/');
    const { old, wanted } = await lab.change('cyd', newKernel({}));
    await lab.told('cyd', 'has no room on /boot', ({ detail }) => detail?.code === 'BOOT_DISK_FULL');
    expect((await lab.machine('cyd')).profile).toBe(old);
    await lab.guest('cyd').sh('umount /boot');
    await lab.killAgent('cyd');
    await lab.told('cyd', 'waits for a restart', ({ detail, stateToplevel }) => detail?.code === 'REBOOT_LEFT_TO_PEOPLE' && stateToplevel === wanted);
    await lab.guest('cyd').sh('systemctl --no-block reboot');
    await lab.runs('cyd', wanted);
    noteOutcome({ fault: '/boot full', where: 'PRECHECK', outcome: 'old system, said; new system when there was room' });
  });

  test('somebody who switches by hand while a restart is awaited is not started over', async () => {
    const { old: byHand, wanted: next } = await lab.change('cyd', { kernel: newestKernel(), etc: { motd: 'with the same kernel' } });
    await lab.runs('cyd', next);
    const staged = await lab.change('cyd', newKernel({}));
    await lab.told('cyd', 'waits for a restart', ({ detail }) => detail?.code === 'REBOOT_LEFT_TO_PEOPLE');
    expect((await lab.machine('cyd')).default).toBe(staged.wanted);

    await lab.guest('cyd').sh(`nix-env --profile /nix/var/nix/profiles/system --set ${byHand}; ${byHand}/bin/switch-to-configuration switch`);
    await lab.told('cyd', 'is kept', ({ standing, detail }) => standing === 'local-override' && detail?.code === 'LOCAL_OVERRIDE');
    await lab.isTidy('cyd');
    const { starts } = lab.guest('cyd');
    await lab.guest('cyd').sh('systemctl --no-block reboot');
    await eventually('it restarted', () => (lab.guest('cyd').starts > starts ? true : undefined));
    await lab.guest('cyd').isUp();
    await lab.runs('cyd', byHand);
    expect((await lab.fleet.hostView('cyd')).standing).toBe('local-override');
    noteOutcome({ fault: 'switch by hand while a restart is awaited', where: 'BOOT_STAGED', outcome: 'kept and shown, also by the next start' });

    await lab.fleet.request('/api/hosts/cyd/override', { method: 'DELETE', body: JSON.stringify({ reason: 'the test' }) });
    await lab.told('cyd', 'waits for a restart', ({ detail }) => detail?.code === 'REBOOT_LEFT_TO_PEOPLE');
    await lab.guest('cyd').sh('systemctl --no-block reboot');
    await lab.runs('cyd', staged.wanted);
    await lab.isTidy('cyd');
  });

  test('the agent killed while it verifies a started system verifies again', async () => {
    await lab.pauseAt('bob', 'health');
    const { wanted } = await lab.change('bob', newKernel({ ...RESTARTS, health: [pausedCheck('passes')] }));
    await lab.isAt('bob', 'health');
    await lab.killAgent('bob');
    await lab.goOn('bob', 'health');
    await lab.runs('bob', wanted);
    await lab.isTidy('bob');
    noteOutcome({ fault: 'kill -9 of the agent', where: 'BOOT_VERIFYING', outcome: 'new system, verified' });
  });

  test('a switch that ends with 100 changed nothing: it is left to a restart', async () => {
    const { wanted } = await lab.change('bob', { ...RESTARTS, etc: { 'only-by-restart': 'x' } });
    await lab.runs('bob', wanted);
    expect(await lab.guest('bob').sh('readlink /run/booted-system')).toBe(wanted);
    await lab.isTidy('bob');
    noteOutcome({ fault: 'exit 100 of the switch', where: 'ACTIVATING', outcome: 'new system, booted and verified' });
  });

  test('a started system that fails, and that no switch leads away from, is left by a restart', async () => {
    const plain = await lab.change('bob', newKernel(RESTARTS));
    await lab.runs('bob', plain.wanted);
    const { starts } = lab.guest('bob');
    const bad = { ...RESTARTS, etc: { 'only-by-restart': 'x' }, health: [{ name: 'no', command: ['/bin/false'] }] };
    const { old } = await lab.change('bob', newKernel(bad));
    await lab.putBack('bob', old, 'HEALTH_CHECK_FAILED', /"no"/, 120_000);
    expect(lab.guest('bob').starts).toBe(starts + 2);
    expect(await lab.guest('bob').sh('readlink /run/booted-system')).toBe(old);
    noteOutcome({
      fault: 'restart: a check fails, and exit 100 of the switch back',
      where: 'ROLLING_BACK',
      outcome: 'old system, by another restart',
    });
  });

  test.each([
    ['the boot loader is being told', 'boot-start', 'BOOT_STAGED'],
    ['the boot loader was told', 'boot-written', 'BOOT_STAGED'],
    ['the new system is being verified', 'health', 'BOOT_VERIFYING'],
  ])('a power cut while %s', async (where, point) => {
    const name = 'dan';
    const host = { ...RESTARTS, health: point === 'health' ? [pausedCheck('passes')] : [] };
    await lab.pauseAt(name, point);
    const { old, wanted } = await lab.change(name, newKernel(host));
    await lab.isAt(name, point);
    await lab.guest(name).cutPower();
    await lab.isSafeToStart(name, old);
    await lab.goOn(name, point);
    await lab.guest(name).start();
    expect([old, wanted]).toContain((await lab.machine(name)).current);
    await lab.runs(name, wanted);
    await lab.isTidy(name);
    noteOutcome({ fault: 'power cut', where: `restart: ${where}`, outcome: 'new system, booted and verified' });
  });

  test('where the boot loader offers an entry for one start, that is used: the old system stays the default until the verdict', async () => {
    const guest = lab.guest('eve');
    await guest.sh(`cat >/usr/local/bin/bootctl <<'END'\n${BOOTCTL}END\nchmod +x /usr/local/bin/bootctl`);
    await lab.pauseAt('eve', 'health');
    const { old, wanted } = await lab.change('eve', newKernel({ ...RESTARTS, health: [pausedCheck('passes')] }));
    await lab.isAt('eve', 'health');
    expect(await lab.machine('eve')).toEqual({ current: wanted, profile: old, default: old });
    await guest.cutPower();
    await guest.start();
    // By the boot loader alone.
    expect(await lab.machine('eve')).toEqual({ current: old, profile: old, default: old });
    noteOutcome({ fault: 'power cut', where: 'restart by an entry for one start, verifying', outcome: 'old system at start, then the new one' });
    await lab.goOn('eve', 'health');
    await lab.runs('eve', wanted);
    expect(await guest.sh('readlink /run/booted-system')).toBe(wanted);
    await lab.isTidy('eve');
    expect(await guest.has('/boot/loader/once')).toBe(false);
  });

  test.each([
    ['under guard', 'dan'],
    ['by an entry for one start', 'eve'],
  ])('a power cut while a started system is made the default (%s)', async (how, name) => {
    await lab.pauseAt(name, 'health');
    const { old, wanted } = await lab.change(name, newKernel({ ...RESTARTS, health: [pausedCheck('passes')] }));
    await lab.isAt(name, 'health');
    await lab.pauseAt(name, 'boot-start');
    await lab.goOn(name, 'health');
    await lab.isAt(name, 'boot-start');
    await lab.guest(name).cutPower();
    await lab.isSafeToStart(name, old);
    await lab.goOn(name, 'boot-start');
    await lab.guest(name).start();
    expect([old, wanted]).toContain((await lab.machine(name)).current);
    await lab.runs(name, wanted);
    await lab.isTidy(name);
    noteOutcome({ fault: 'power cut', where: `restart ${how}: committing`, outcome: 'new system, which was verified before' });
  });

  test('a specialisation that runs is kept, and counts as the system that it is of', async () => {
    const special = { specialisations: { travel: { etc: { mode: 'travel' } } } };
    const first = await lab.change('ada', { ...newKernelless(), ...special });
    await lab.runs('ada', first.wanted);
    await lab.guest('ada').sh(`${first.wanted}/specialisation/travel/bin/switch-to-configuration test`);
    const second = await lab.change('ada', {
      ...newKernelless(),
      ...special,
      units: { 'more.service': '[Service]\nExecStart=/bin/sleep infinity\n' },
    });
    await lab.told('ada', 'runs the new system', ({ standing, observed }) => standing === 'in-sync' && observed.current === second.wanted);
    expect(await lab.guest('ada').sh('cat /etc/static/mode')).toBe('travel');
    noteOutcome({ fault: 'a specialisation runs', where: 'ACTIVATING', outcome: 'kept, and in sync' });
  });

  test('a rollback restores the specialisation that ran', async () => {
    await lab.change('ada', { ...newKernelless(), health: [{ name: 'no', command: ['/bin/false'] }] });
    await lab.told('ada', 'was rolled back', ({ standing, detail }) => standing === 'rolled-back' && detail?.code === 'HEALTH_CHECK_FAILED');
    expect(await lab.guest('ada').sh('cat /etc/static/mode')).toBe('travel');
    noteOutcome({ fault: 'a specialisation ran, the new system has none and fails', where: 'ROLLING_BACK', outcome: 'the specialisation again' });
  });

  test('a machine that its users do not restart does so itself at the deadline', async () => {
    const policy = { policy: { reboot: { when: 'never', deadlineHours: 0.002 } } };
    const { kernel } = lab.host('cyd');
    const first = await lab.change('cyd', { ...policy, ...(kernel === undefined ? {} : { kernel }) });
    await lab.runs('cyd', first.wanted);
    const { starts } = lab.guest('cyd');
    const { wanted } = await lab.change('cyd', newKernel(policy));
    const waiting = await lab.told('cyd', 'waits for a restart', ({ detail }) => detail?.code === 'REBOOT_LEFT_TO_PEOPLE');
    expect(waiting.detail?.message).toMatch(/goes ahead .* at the latest/);
    await lab.runs('cyd', wanted);
    expect(lab.guest('cyd').starts).toBe(starts + 1);
    noteOutcome({ fault: 'nobody restarts the machine', where: 'BOOT_STAGED', outcome: 'restarted at the deadline, new system' });
  });

  /** As `ada` is by now: the kernel that it was started with. */
  function newKernelless(): LabHost {
    return { ...RESTARTS, kernel: '6.12.2' };
  }
});
