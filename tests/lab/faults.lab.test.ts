import { eventually, isLabReady } from '@floe/testkit';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { another, oneshot, pausedCheck, service } from './hosts.ts';
import { LabFleet } from './lab-fleet.ts';
import { noteOutcome } from './outcomes.ts';
import { freeSwitchLock, holdSwitchLock, meddleWithSwitchLock, stopMeddling } from './switch-lock.ts';

const { isReady, why } = await isLabReady();

describe.skipIf(!isReady)(`faults${isReady ? '' : ` (skipped: ${why})`}`, () => {
  let lab: LabFleet;
  beforeAll(async () => {
    lab = await LabFleet.create(2, {
      ada: {},
      bob: { units: { 'old.service': oneshot('/bin/false') } },
      cyd: { units: { 'hang.service': service('/bin/sleep infinity', 'ExecStop=/bin/sleep infinity\nTimeoutStopSec=infinity\n') } },
      dan: {},
      eve: {},
    });
  });
  afterAll(async () => {
    await lab[Symbol.asyncDispose]();
  });

  afterEach(async () => {
    if (!lab.fleet.server.isRunning) await lab.fleet.startServer();
    await lab.restingAreTidy();
  });

  test.each([
    ['other server keys', { FLOE_TRUSTED_SERVER_KEYS: `other-1:${'A'.repeat(43)}=` }],
    ['other release keys', { FLOE_TRUSTED_RELEASE_KEYS: `other-1:${'A'.repeat(43)}=` }],
    ['another host name', { FLOE_HOST: 'somebody-else' }],
  ])('a system that pins %s would never be mended by a push: it is rolled back', async (what, settings) => {
    const { old } = await lab.change('ada', { settings });
    await lab.putBack('ada', old, 'SERVER_REFUSES', /refuses/);
    noteOutcome({ fault: `pins ${what}`, where: 'VERIFYING', outcome: 'old system, rolled back' });
  });

  test('a system that pins other cache keys is rolled back', async () => {
    const { old } = await lab.change('ada', { settings: { FLOE_TRUSTED_PUBLIC_KEYS: `other-1:${'A'.repeat(43)}=` } });
    await lab.putBack('ada', old, 'CACHE_REFUSES', /one of its keys/);
    noteOutcome({ fault: 'pins other cache keys', where: 'VERIFYING', outcome: 'old system, rolled back' });
  });

  test('units that had failed before are no fault of the new system; newly failed ones are', async () => {
    const { wanted } = await lab.change('bob', { units: { 'old.service': oneshot('/bin/false', 'Environment=CHANGED=1\n') } });
    await lab.runs('bob', wanted);
    noteOutcome({ fault: 'exit 4: a unit that had failed before', where: 'VERIFYING', outcome: 'new system' });
    const next = await lab.change('bob', { units: { 'old.service': oneshot('/bin/false'), 'fresh.service': oneshot('/bin/false') } });
    await lab.putBack('bob', next.old, 'UNITS_FAILED', /fresh\.service/);
    noteOutcome({ fault: 'exit 4: a unit that fails newly', where: 'VERIFYING', outcome: 'old system, rolled back' });
  });

  test('a switch that hangs at a unit is ended at its limit, and the unit is named', async () => {
    const { old } = await lab.change('cyd', { settings: { FLOE_SWITCH_TIMEOUT_SECONDS: '4' } });
    await lab.putBack('cyd', old, 'SWITCH_TIMED_OUT', /it hung at the stop of hang\.service/, 90_000);
    noteOutcome({ fault: 'a unit hangs in stop', where: 'ACTIVATING', outcome: 'ended at the limit, old system, unit named' });
  });

  test('a health check that passes twice and then fails is a failure', async () => {
    const script = 'n=$(cat /run/n 2>/dev/null || echo 0); echo $((n + 1)) >/run/n; [ "$n" -lt 2 ]';
    const { old } = await lab.change('dan', { health: [{ name: 'fickle', command: ['/bin/sh', '-c', script] }] });
    await lab.putBack('dan', old, 'HEALTH_CHECK_FAILED', /"fickle"/);
    noteOutcome({ fault: 'a health check passes twice, then fails', where: 'VERIFYING', outcome: 'old system, rolled back' });
  });

  test('two pushes during an activation: the newest is what comes after it', async () => {
    await lab.pauseAt('eve', 'test-activated');
    await lab.change('eve', another());
    await lab.isAt('eve', 'test-activated');
    await lab.change('eve', another());
    const last = await lab.push('The last', { eve: another() });
    const wanted = (await lab.published(last)).get('eve') ?? '';
    await lab.goOn('eve', 'test-activated');
    await lab.runs('eve', wanted);
    await lab.isTidy('eve');
    noteOutcome({ fault: 'two pushes during one activation', where: 'ACTIVATING', outcome: 'its verdict first, then the newest' });
  });

  test('an agent that hangs is restarted by systemd', async () => {
    const pid = async (): Promise<string> => await lab.guest('eve').sh('systemctl show floe-agent --property=MainPID --value');
    const before = await pid();
    await lab.guest('eve').sh(`kill -STOP ${before}`);
    await eventually('there is another agent', async () => ((await pid()) === before || (await pid()) === '0' ? undefined : true), {
      timeoutMs: 40_000,
      everyMs: 200,
    });
    const { wanted } = await lab.change('eve', another());
    await lab.runs('eve', wanted);
    noteOutcome({ fault: 'the agent hangs (SIGSTOP)', where: 'SUCCEEDED', outcome: 'restarted by the service watchdog' });
  });

  test('the server gone while the machine verifies: judged by what the machine itself can tell', async () => {
    await lab.pauseAt('dan', 'test-activated');
    const { wanted } = await lab.change('dan', another());
    await lab.isAt('dan', 'test-activated');
    await lab.fleet.server.stop('SIGKILL');
    await lab.goOn('dan', 'test-activated');
    await lab.reaches('dan', 'SUCCEEDED');
    expect(await lab.machine('dan')).toEqual({ current: wanted, profile: wanted, default: wanted });
    await lab.fleet.startServer();
    // Its next try to connect may be a minute away.
    await lab.killAgent('dan');
    await lab.runs('dan', wanted);
    noteOutcome({ fault: 'server gone', where: 'VERIFYING', outcome: 'new system, on local checks' });
  });

  test('server and cache gone: nothing is proved, it is rolled back, not blamed, and tried again', async () => {
    await lab.pauseAt('dan', 'test-activated');
    const { old, wanted } = await lab.change('dan', another());
    await lab.isAt('dan', 'test-activated');
    await lab.fleet.server.stop('SIGKILL');
    await lab.cache.stop();
    await lab.goOn('dan', 'test-activated');
    await lab.reaches('dan', 'STAGED');
    expect((await lab.machine('dan')).current).toBe(old);
    expect((await lab.journal('dan'))?.quarantined).not.toContain(wanted);
    await lab.cache.start();
    await lab.fleet.startServer();
    // Its next try to connect may be a minute away.
    await lab.killAgent('dan');
    await lab.runs('dan', wanted);
    noteOutcome({ fault: 'server and cache gone', where: 'VERIFYING', outcome: 'old system, not blamed, new one once they are back' });
  });

  test('a system that breaks the network is rolled back with no server there to tell', async () => {
    const cut = oneshot('/bin/ip link set host0 down', 'ExecStop=/bin/ip link set host0 up\n');
    await lab.pauseAt('ada', 'test-activated');
    const { old } = await lab.change('ada', { units: { 'cut.service': cut } });
    await lab.isAt('ada', 'test-activated');
    await lab.fleet.server.stop('SIGKILL');
    const startedAt = performance.now();
    await lab.goOn('ada', 'test-activated');
    // The cache answers from the old system again: it was the new one's fault.
    await lab.reaches('ada', 'ROLLED_BACK', 60_000);
    expect((await lab.machine('ada')).current).toBe(old);
    const seconds = Math.round((performance.now() - startedAt) / 1000);
    // The time for contact, and 30 s.
    expect(seconds).toBeLessThanOrEqual(5 + 30);
    await lab.fleet.startServer();
    // Its next try to connect may be a minute away.
    await lab.killAgent('ada');
    await lab.putBack('ada', old, 'NO_CONTACT', /did not answer/, 90_000);
    noteOutcome({ fault: 'breaks the network, server stopped throughout', where: 'VERIFYING', outcome: `old system after ${seconds} s` });
  });

  test('a system that cuts the way to the server alone is kept for a while, and then left: no push could mend it', async () => {
    const port = new URL(lab.fleet.serverUrl).port;
    const cut = oneshot(`/bin/ip rule add dport ${port} blackhole`, `ExecStop=/bin/ip rule del dport ${port} blackhole\n`);
    const { old, wanted } = await lab.change('ada', { units: { 'cut.service': cut }, settings: { FLOE_SERVER_LIMIT_SECONDS: '3' } });
    await lab.reaches('ada', 'SUCCEEDED');
    expect((await lab.machine('ada')).default).toBe(wanted);
    await lab.putBack('ada', old, 'SERVER_MISSED', /although the network works/, 90_000);
    noteOutcome({ fault: 'cuts the way to the server alone', where: 'SUCCEEDED', outcome: 'old system, rolled back, once the server was missed' });
  });

  test('another switch under way is waited for, and who it is is said', async () => {
    await holdSwitchLock(lab.guest('bob'));
    const { wanted } = await lab.change('bob', another());
    await lab.told('bob', 'waits for the other switch', ({ detail }) => detail?.code === 'SWITCH_HELD' && detail.message.includes('by-hand.service'));
    await freeSwitchLock(lab.guest('bob'));
    await lab.runs('bob', wanted);
    noteOutcome({ fault: 'the switch lock is held', where: 'PRECHECK', outcome: 'holder named; new system when it is free' });
  });

  test('another switch that is stuck is ended at the limit', async () => {
    await holdSwitchLock(lab.guest('bob'));
    const { wanted } = await lab.change('bob', another({ settings: { FLOE_SWITCH_TIMEOUT_SECONDS: '4' } }));
    await lab.told('bob', 'waits for the other switch', ({ detail }) => detail?.code === 'SWITCH_HELD');
    // The limit is the running system's.
    await lab.runs('bob', wanted);
    expect(await lab.guest('bob').sh('systemctl is-active by-hand.service || true')).toBe('inactive');
    noteOutcome({ fault: 'the switch lock is held forever', where: 'PRECHECK', outcome: 'its holder ended at the limit; new system' });
  });

  test('a way back waits for another switch, and ends one that is stuck', async () => {
    await lab.pauseAt('cyd', 'health');
    const { old } = await lab.change('cyd', { health: [pausedCheck('fails')], settings: { FLOE_SWITCH_TIMEOUT_SECONDS: '4' } });
    await lab.isAt('cyd', 'health');
    await holdSwitchLock(lab.guest('cyd'));
    await lab.goOn('cyd', 'health');
    await lab.logs('cyd', 'the rollback waits for another switch.*by-hand.service');
    expect((await lab.journal('cyd'))?.state).toBe('ROLLING_BACK');
    await lab.putBack('cyd', old, 'HEALTH_CHECK_FAILED', /"slow"/);
    expect(await lab.guest('cyd').sh('systemctl is-active by-hand.service || true')).toBe('inactive');
    noteOutcome({ fault: 'the switch lock is held forever', where: 'ROLLING_BACK', outcome: 'its holder ended at the limit; old system' });
  });

  test('users without root who hold the switch lock in turn hold up neither a change nor a way back', async () => {
    await meddleWithSwitchLock(lab.guest('bob'));
    const { wanted } = await lab.change('bob', another());
    await lab.runs('bob', wanted);
    await stopMeddling(lab.guest('bob'));
    await lab.pauseAt('ada', 'health');
    const { old } = await lab.change('ada', { health: [pausedCheck('fails')] });
    await lab.isAt('ada', 'health');
    await meddleWithSwitchLock(lab.guest('ada'));
    await lab.goOn('ada', 'health');
    await lab.putBack('ada', old, 'HEALTH_CHECK_FAILED', /"slow"/);
    await stopMeddling(lab.guest('ada'));
    noteOutcome({ fault: 'users without root hold the switch lock in turn', where: 'PRECHECK', outcome: 'of no effect; new system' });
    noteOutcome({ fault: 'users without root hold the switch lock in turn', where: 'ROLLING_BACK', outcome: 'of no effect; old system' });
  });

  test('what was staged survives a garbage collection', async () => {
    // The switch waits for the collection, which takes its time on a busy machine.
    const patient = { settings: { FLOE_SWITCH_TIMEOUT_SECONDS: '600' } };
    const before = await lab.change('bob', another(patient));
    await lab.runs('bob', before.wanted);
    await lab.pauseAt('bob', 'dry-activate-start');
    const { wanted } = await lab.change('bob', another(patient));
    await lab.isAt('bob', 'dry-activate-start');
    await lab.guest('bob').sh('nix-collect-garbage >/dev/null 2>&1');
    await lab.goOn('bob', 'dry-activate-start');
    await lab.runs('bob', wanted);
    noteOutcome({ fault: 'garbage collection', where: 'STAGED', outcome: 'new system' });
  });

  test('an agent upgrades itself by being part of the system', async () => {
    const before = await lab.guest('dan').sh('systemctl show floe-agent --property=ExecStart --value');
    await lab.fleet.push('A new agent', { 'agent/version': 'next' });
    const { wanted } = await lab.change('dan', another());
    await lab.runs('dan', wanted);
    expect(await lab.guest('dan').sh('systemctl show floe-agent --property=ExecStart --value')).not.toBe(before);
    noteOutcome({ fault: 'agent upgrade by its own deployment', where: 'ACTIVATING', outcome: 'new agent, new system' });
  });
});
