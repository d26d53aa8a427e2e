import { decide, type AgentJournal, type AgentState, type BeforeActivation, type Contact, type Observed, type StorePath } from '@floe/model';
import { exec, FloeError, silentLogger, systemClock } from '@floe/runtime';
import { describe, expect, test } from 'vitest';
import type { WhoAnswers } from '../server/network.ts';
import { STATE_FORGETS } from '../machines/machine.ts';
import { FakeMachine } from '../test/fake-machine.ts';
import { directiveWith, journalWith, NOW, storePath } from '../test/fixtures.ts';
import { proxyOf, type JobDeps } from './job.ts';
import { runJob } from './run-job.ts';
import { findUnfinished } from './find-unfinished.ts';

const OLD = storePath('old');
const NEW = storePath('new');
const on = (current: typeof OLD, profile = current): Observed => ({ current, booted: current, profile: { generation: 1, toplevel: profile } });

/** A machine that is watched over, and restarts; no system has the boot guard. */
function bootable(observed: Observed, isNewBoot = true): FakeMachine {
  const machine = new FakeMachine();
  machine.observed = observed;
  machine.unfinished = { kind: 'interrupted' };
  machine.boot = {
    stage: async () => await Promise.resolve({ kind: 'switched', note: null }),
    unstage: async () => await Promise.resolve(),
    boots: async () => await Promise.resolve({ isNewBoot, fellBack: false }),
    reboot: async () => await Promise.resolve(),
    rebootBack: async () => await Promise.resolve(machine.log.push('reboot') > 0),
    hasGuard: async () => await Promise.resolve(false),
  };
  return machine;
}
const signal = new AbortController().signal;

function depsOf(machine: FakeMachine): JobDeps {
  return {
    machine,
    exec,
    clock: { ...systemClock, sleep: async () => undefined },
    logger: silentLogger,
    now: () => NOW,
    settings: {
      serverUrl: 'http://x',
      proxy: undefined,
      substituters: [],
      cachePublicKeys: [],
      maxBytesPerSecond: undefined,
      minFreeBytes: 1,
      healthGraceMs: 0,
      settleMs: 0,
      contactTimeoutMs: 1,
      serverLimitMs: 0,
      switchLimitMs: 1,
      bootLimitMs: 1,
    },
    contact: async () => ({ contact: 'trusted', stranger: null }),
    whoAnswers: async () => ({ kind: 'cache' }),
    routers: async () => [],
    holdDownload: async () => null,
    assess: async () => ({ impact: 'none', wait: null }),
    onProgress: () => undefined,
  };
}
const rolling = (changes: Partial<AgentJournal>): AgentJournal =>
  journalWith({
    state: 'ROLLING_BACK',
    directive: directiveWith(NEW),
    before: { toplevel: OLD, profile: OLD, failedUnits: null, serverUrl: null, cache: null },
    activation: 1,
    ...changes,
  });

test('a download keeps to the limit of speed, unless somebody asks for it now', async () => {
  const deferral = { since: NOW, restartSince: null, laterCount: 0, laterUntil: null, isOverruled: false };
  const urgent = { level: 'soon', by: 'ada', reason: 'a leak', until: NOW + 1_000, noticedAt: null } as const;
  const limitOf = async (changes: Partial<AgentJournal>): Promise<number | undefined> => {
    const machine = new FakeMachine();
    const deps = depsOf(machine);
    const journal = journalWith({ state: 'DOWNLOADING', directive: directiveWith(NEW), ...changes });
    expect(await runJob('download', { ...deps, settings: { ...deps.settings, maxBytesPerSecond: 5_000 } }, journal, signal)).toMatchObject({
      type: 'downloaded',
    });
    return machine.maxBytesPerSecond;
  };
  expect(await limitOf({ deferral })).toBe(5_000);
  expect(await limitOf({ directive: { ...directiveWith(NEW), urgent: { ...urgent, until: NOW } } })).toBe(5_000);
  expect(await limitOf({ deferral: { ...deferral, isOverruled: true } })).toBeUndefined();
  expect(await limitOf({ directive: { ...directiveWith(NEW), isRetry: true } })).toBeUndefined();
  expect(await limitOf({ directive: { ...directiveWith(NEW), urgent } })).toBeUndefined();
});

test("a person's way back: the boot loader is told, also when that failed the first time", async () => {
  const machine = bootable({ ...on(NEW), booted: OLD });
  let failing = true;
  machine.outcomeOf = (_path, action) =>
    action === 'boot' && failing ? { kind: 'failed', detail: { code: 'SWITCH_FAILED', message: '/boot is full' } } : undefined;
  const journal = rolling({ verdict: 'unwanted' });
  expect((await runJob('roll-back', depsOf(machine), journal, signal)).type).toBe('rollback-failed');
  failing = false;
  machine.log.length = 0;
  expect((await runJob('roll-back', depsOf(machine), journal, signal)).type).toBe('rolled-back');
  expect(machine.log).toContain(`boot ${OLD}`);
});

test('a staged system that was started while it was taken back does not run on, unproved and unguarded', async () => {
  const machine = bootable(on(NEW));
  const event = await runJob('roll-back', depsOf(machine), rolling({ verdict: 'superseded', boot: { misses: 0 } }), new AbortController().signal);
  expect([event.type, machine.observed.current]).toEqual(['rolled-back', OLD]);
});

test('a started system that failed and cannot be switched away from is left by a restart', async () => {
  const machine = bootable(on(NEW));
  machine.outcomeOf = (_path, action) =>
    action === 'test' ? { kind: 'failed', detail: { code: 'SWITCH_FAILED', message: 'Pre-switch check switchInhibitors failed' } } : undefined;
  let journal = rolling({ verdict: 'failed', boot: { misses: 0 } });
  for (let round = 0; round < 5; round += 1) journal = decide(journal, await runJob('roll-back', depsOf(machine), journal, signal), NOW).journal;
  expect({ state: journal.state, current: machine.observed.current }).toEqual({ state: 'ROLLBACK_FAILED', current: NEW });
  expect(machine.log).toContain('reboot');
});

test('a system without the boot guard is not staged for a start: nothing would take it back', async () => {
  const machine = bootable(on(OLD));
  machine.valid.add(NEW);
  const deps = { ...depsOf(machine), assess: async () => ({ impact: 'reboot', wait: null }) as const };
  const event = await runJob('precheck', deps, journalWith({ state: 'PRECHECK', directive: directiveWith(NEW) }), signal);
  expect(event).not.toMatchObject({ type: 'cleared', how: 'boot' });
});

test.each([
  ['SWITCH_FAILED', 'BOOT_NOT_SET'],
  [STATE_FORGETS, STATE_FORGETS],
])('a system that could not be staged for the next start (%s) is reported as %s, with the reason', async (code, reported) => {
  const machine = bootable(on(OLD));
  const stage = async () => await Promise.resolve({ kind: 'failed' as const, detail: { code, message: 'the reason' } });
  if (machine.boot !== null) machine.boot = { ...machine.boot, stage, hasGuard: async () => await Promise.resolve(true) };
  const journal = rolling({ state: 'PRECHECK' });
  const event = await runJob('stage-boot', depsOf(machine), journal, signal);
  expect(event).toMatchObject({ detail: { code: reported, message: expect.stringContaining('the reason') as string } });
});

test.each(['untrusted', 'absent'] as const)('caches that the new system alone names are proved before it is kept (%s)', async (trust) => {
  const machine = bootable(on(NEW));
  machine.trust = trust;
  const before = { toplevel: OLD, profile: OLD, failedUnits: null, serverUrl: null };
  const verify = async (cache: string | null) =>
    await runJob('verify', depsOf(machine), journalWith({ state: 'VERIFYING', directive: directiveWith(NEW), before: { ...before, cache } }), signal);
  expect(await verify('https://old.example old-1:KEY')).toMatchObject({ type: 'verify-failed', detail: { code: 'CACHE_REFUSES' } });
  expect(await verify(null)).toMatchObject({ type: 'verified' });
});

test('a systemd that is silent after the switch is no good sign; one that was silent before proves nothing', async () => {
  const machine = bootable(on(NEW));
  const before = { toplevel: OLD, profile: OLD, serverUrl: null, cache: null };
  const verify = async (units: readonly string[] | null, failedUnits: readonly string[] | null) => {
    machine.units = units;
    return await runJob('verify', depsOf(machine), journalWith({ directive: directiveWith(NEW), before: { ...before, failedUnits } }), signal);
  };
  expect(await verify(null, [])).toMatchObject({ type: 'verify-failed', detail: { code: 'UNITS_UNKNOWN' } });
  expect(await verify(['old.service'], null)).toMatchObject({ type: 'verified', note: { code: 'UNITS_UNKNOWN' } });
  expect(await verify(['old.service'], ['old.service'])).toMatchObject({ type: 'verified', note: null });
});

test("a switch that found another one's lock is no failure of the system", async () => {
  const machine = bootable(on(OLD));
  machine.heldBy = 'nixos-rebuild-switch-to-configuration.service (process 7)';
  machine.outcomeOf = () => ({
    kind: 'failed',
    detail: { code: 'SWITCH_FAILED', message: 'the switch (test) failed with status 1: Could not acquire lock' },
  });
  const event = await runJob('activate', depsOf(machine), rolling({ state: 'ACTIVATING', verdict: null }), signal);
  expect(event.type).not.toBe('switch-failed');
});

test('a switch of ours that failed while another one has the lock is gone back from', async () => {
  const machine = bootable(on(OLD));
  machine.heldBy = 'by-hand.service (process 7)';
  machine.outcomeOf = () => ({ kind: 'failed', detail: { code: 'SWITCH_TIMED_OUT', message: 'the switch did not end in time' } });
  const event = await runJob('activate', depsOf(machine), rolling({ state: 'ACTIVATING' }), signal);
  expect(event.type).toBe('switch-failed');
});

const THIRD = storePath('third');

test('in a rollback, what somebody switched to by hand is theirs; what failed is not tried again', async () => {
  const machine = bootable({ ...on(OLD), current: THIRD });
  const journal = rolling({ verdict: 'failed', detail: { code: 'UNITS_FAILED', message: 'failed since the switch: web.service' } });
  const event = await runJob('roll-back', depsOf(machine), journal, signal);
  expect(event).toMatchObject({ type: 'overridden', override: { toplevel: THIRD, by: 'switch' } });
  expect(machine.log).toEqual([]);
  const { journal: next, effects } = decide(journal, event, NOW);
  expect(next).toMatchObject({ state: 'IDLE', quarantined: [NEW], override: { toplevel: THIRD } });
  expect(next.detail?.message).toContain('web.service');
  expect(effects).toContainEqual({ type: 'tidy' });
});

test('in a rollback, a switch by hand to the system that the machine had started with is theirs, too', async () => {
  const machine = bootable({ ...on(OLD), current: THIRD, booted: THIRD }, false);
  const event = await runJob('roll-back', depsOf(machine), rolling({ verdict: 'failed' }), signal);
  expect(event).toMatchObject({ type: 'overridden', override: { toplevel: THIRD, by: 'switch' } });
});

test.each<[string, AgentState, StorePath, StorePath, boolean, string]>([
  ['while it was verified', 'VERIFYING', THIRD, OLD, false, 'overridden'],
  ['back, while it was verified', 'VERIFYING', OLD, OLD, false, 'overridden'],
  ['while it was switched', 'ACTIVATING', THIRD, OLD, false, 'overridden'],
  ['not at all: the switch did nothing', 'ACTIVATING', OLD, OLD, false, 'switched'],
  ['back, after the start', 'BOOT_VERIFYING', OLD, NEW, true, 'overridden'],
  ['to what the start brought', 'BOOT_VERIFYING', OLD, OLD, true, 'restarted'],
])('an agent that was restarted finds what somebody switched to %s', async (_what, state, current, booted, isNewBoot, found) => {
  const machine = bootable({ ...on(OLD), current, booted }, isNewBoot);
  machine.unfinished = { kind: 'ended', outcome: { kind: 'switched', note: null } };
  const event = await findUnfinished({ machine, now: () => NOW }, rolling({ state, verdict: null }), signal);
  expect(event.type).toBe(found);
});

test("a third system under a switch that worked is somebody's choice, and no fault of the new one", async () => {
  const machine = bootable({ ...on(OLD), current: THIRD }, false);
  expect(await runJob('verify', depsOf(machine), rolling({ state: 'VERIFYING', verdict: null }), signal)).toMatchObject({
    type: 'overridden',
    override: { toplevel: THIRD },
  });
  const idle = bootable(on(OLD), false);
  expect(await runJob('verify', depsOf(idle), rolling({ state: 'VERIFYING', verdict: null }), signal)).toMatchObject({ type: 'verify-failed' });
});

test('between the verdict and the commit, another switch is waited for, and what it leads to is kept', async () => {
  const machine = bootable(on(NEW, OLD), false);
  const holders = ['by-hand.service (process 7)'];
  machine.switchHeldBy = async () => {
    const heldBy = holders.pop() ?? null;
    if (heldBy !== null) machine.observed = on(THIRD);
    return await Promise.resolve(heldBy);
  };
  const journal = rolling({ state: 'COMMITTING', verdict: 'passed' });
  const event = await runJob('commit', depsOf(machine), journal, signal);
  expect(event).toMatchObject({ type: 'overridden', override: { toplevel: THIRD } });
  expect(machine.log).toEqual([]);
  expect(decide(journal, event, NOW).journal).toMatchObject({ state: 'IDLE', override: { toplevel: THIRD }, quarantined: [] });
});

test.each<[string, Partial<AgentJournal>, Partial<Observed>]>([
  ['that a start of the machine brought', {}, { booted: THIRD }],
  ['under which somebody asks for the one before', { verdict: 'unwanted' }, {}],
  ['over a staged one', { boot: { misses: 0 } }, {}],
])('in a rollback, a third system %s is left', async (_what, changes, observed) => {
  const machine = bootable({ ...on(OLD), current: THIRD, ...observed });
  const event = await runJob('roll-back', depsOf(machine), rolling({ verdict: 'failed', ...changes }), signal);
  expect([event.type, machine.observed.current]).toEqual(['rolled-back', OLD]);
});

test('after a start that brought the old system back, nothing is committed unproved: it starts over', async () => {
  const machine = bootable(on(OLD));
  const journal = rolling({ state: 'COMMITTING', verdict: 'passed' });
  const event = await runJob('commit', depsOf(machine), journal, signal);
  expect(machine.log).toEqual([]);
  expect(decide(journal, event, NOW).journal).toMatchObject({ state: 'OFFERED', verdict: null, before: null });
});

test.each([
  ['trusted', true],
  ['silent', true],
  ['network', false],
  ['none', false],
] as const)('where the server was missed, the previous system has contact when it meets the server itself (%s)', async (contact, hasContact) => {
  const machine = bootable(on(NEW));
  const journal = rolling({ verdict: 'no-contact', detail: { code: 'SERVER_MISSED', message: '' } });
  const deps = { ...depsOf(machine), contact: async () => await Promise.resolve({ contact, stranger: null }) };
  expect(await runJob('roll-back', deps, journal, signal)).toMatchObject({ type: 'rolled-back', hasContact });
});

describe('where something else answers in place of the caches', () => {
  const portal = { kind: 'other', url: 'http://cache.example', who: 'a captive portal or a proxy answered: a page of its own (status 200)' } as const;
  const corrupt = "NAR info file '0.narinfo' from 'http://cache.example' is corrupt";
  const failing = (code: string): FakeMachine => {
    const machine = new FakeMachine();
    machine.before = async (what) => {
      if (what.startsWith('download')) throw new FloeError(code, corrupt, { retryable: true });
      await Promise.resolve();
    };
    return machine;
  };
  const journal = journalWith({ state: 'DOWNLOADING', directive: directiveWith(NEW) });
  const asked: unknown[] = [];
  const failure = async (code: string, answer: WhoAnswers) => {
    const answers: JobDeps['whoAnswers'] = async (_signal, about) => (asked.push(about), await Promise.resolve(answer));
    return await runJob('download', { ...depsOf(failing(code)), whoAnswers: answers }, journal, signal);
  };

  test('a failed download says so, and not that the cache is corrupt', async () => {
    expect(await failure('STORE_PATH_NOT_AVAILABLE', portal)).toMatchObject({
      type: 'download-failed',
      isRetryable: true,
      detail: {
        code: 'CACHE_NOT_REACHED',
        message: `${portal.who}, in place of http://cache.example: log in to this network, or have the proxy corrected; the agent tries again`,
      },
    });
    expect(asked).toEqual([NEW]);
  });

  test.each([
    ['a cache answers', 'STORE_PATH_NOT_AVAILABLE', { kind: 'cache' }],
    ['nobody answers', 'STORE_PATH_NOT_AVAILABLE', { kind: 'nobody' }],
    ['the cache lies', 'STORE_PATH_UNTRUSTED', portal],
  ] as const)('Nix’s own reason stays where %s', async (_what, code, answer) => {
    expect(await failure(code, answer)).toMatchObject({ detail: { code, message: corrupt } });
  });

  const found = async (contact: Contact, changes: Partial<BeforeActivation> = {}, settings: Partial<JobDeps['settings']> = {}) => {
    const machine = new FakeMachine();
    machine.observed = on(NEW, OLD);
    const before = {
      toplevel: OLD,
      profile: OLD,
      failedUnits: null,
      serverUrl: 'http://x',
      cache: '',
      network: { proxy: null, routers: [] },
      ...changes,
    };
    const deps = {
      ...depsOf(machine),
      contact: async () => await Promise.resolve({ contact, stranger: contact === 'elsewhere' ? portal.who : null }),
    };
    const verifying = journalWith({ state: 'VERIFYING', directive: directiveWith(NEW), before });
    return await runJob('verify', { ...deps, settings: { ...deps.settings, ...settings } }, verifying, signal);
  };

  test('it proves nothing about a system: one that passes its own checks is kept, and says who answered', async () => {
    expect(await found('elsewhere')).toMatchObject({
      type: 'verified',
      note: { code: 'SERVER_AWAY', message: expect.stringContaining(portal.who) as string },
    });
  });

  test.each<[string, Contact, Partial<BeforeActivation>, Partial<JobDeps['settings']>]>([
    ['nobody answers', 'none', {}, {}],
    ['the system has another server', 'elsewhere', { serverUrl: 'http://y' }, {}],
    ['the system has other caches', 'elsewhere', { cache: 'https://cache.example key' }, {}],
    ['the system has another proxy', 'elsewhere', { network: { proxy: 'http://proxy:1', routers: [] } }, {}],
    ['the system has a proxy', 'elsewhere', {}, { proxy: new URL('http://a:b@proxy:1/') }],
  ])('a system is rolled back at once where %s', async (_what, contact, changes, settings) => {
    expect(await found(contact, changes, settings)).toMatchObject({ type: 'verify-failed', isContactLost: true, detail: { code: 'NO_CONTACT' } });
  });

  test('the login of a proxy is no part of its name', async () => {
    const { settings } = depsOf(new FakeMachine());
    expect(proxyOf({ ...settings, proxy: new URL('http://a:b@proxy:1/') })).toBe('http://proxy:1');
  });

  test('the previous system that meets it, too, blames nobody', async () => {
    const deps = {
      ...depsOf(bootable(on(NEW))),
      contact: async () => await Promise.resolve({ contact: 'elsewhere' as const, stranger: portal.who }),
    };
    expect(await runJob('roll-back', deps, rolling({ verdict: 'no-contact' }), signal)).toMatchObject({ type: 'rolled-back', hasContact: false });
  });
});
