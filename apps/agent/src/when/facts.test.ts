import { oneLine } from '@floe/model';
import { systemClock, type Clock, type Exec } from '@floe/runtime';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { allOf, busWith, INHIBITORS, LIST, METERED, sessionList, sessionProperties, type SessionChanges } from '../test/fake-bus.ts';
import { addPowerSupply } from '../test/power-supply.ts';
import { gatherFacts, type MachineFacts } from './facts.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'floe-facts-'));
});
afterEach(async () => {
  await rm(root, { recursive: true });
});

async function gather(exec: Exec, more: { clock?: Clock; timeoutMs?: number; signal?: AbortSignal } = {}): Promise<MachineFacts> {
  const { clock = systemClock, timeoutMs = 5000, signal = new AbortController().signal } = more;
  return await gatherFacts({ exec, clock, env: {}, root, timeoutMs, signal });
}

const silent = busWith({});

describe('power', () => {
  const AC = (online: string) => ({ type: 'Mains', online });
  const battery = (status: string, capacity: string, more: object = {}) => ({ type: 'Battery', status, capacity, present: '1', ...more });
  type Machine = Readonly<Record<string, Readonly<Record<string, string>>>>;

  test.each<[string, Machine, boolean | null, number | null]>([
    ['a laptop on its cable', { AC: AC('1'), BAT0: battery('Charging', '80') }, false, 80],
    ['a laptop on its battery', { AC: AC('0'), BAT0: battery('Discharging', '23') }, true, 23],
    ['one whose charger is too weak', { AC: AC('1'), BAT0: battery('Discharging', '23') }, false, 23],
    ['one just unplugged, its battery still said to be full', { AC: AC('0'), BAT0: battery('Full', '100') }, true, 100],
    ['one with nothing but a battery in /sys, discharging', { BAT0: battery('Discharging', '50') }, true, 50],
    ['one with nothing but a battery in /sys, full', { BAT0: battery('Full', '100') }, false, 100],
    ['one with nothing but a battery in /sys, which does not say', { BAT0: battery('Unknown', '50') }, null, null],
    ['one on USB-C', { 'ucsi-1': { type: 'USB', online: '1', scope: 'System' }, BAT0: battery('Not charging', '60') }, false, 60],
    ['one whose USB-C port feeds a phone', { 'ucsi-1': { type: 'USB', online: '1', scope: 'Device' }, BAT0: battery('Discharging', '60') }, true, 60],
    ['a desktop with a wireless mouse', { hidpp_0: battery('Discharging', '5', { scope: 'Device' }) }, false, null],
    ['a desktop on a UPS', { ups: { type: 'UPS', status: 'Discharging', capacity: '70' } }, true, 70],
    ['one with an empty bay', { AC: AC('0'), BAT0: battery('Discharging', '40'), BAT1: battery('Unknown', '0', { present: '0' }) }, true, 40],
    [
      'one with a big and a small battery',
      {
        AC: AC('0'),
        BAT0: battery('Discharging', '100', { energy_full: '10000000' }),
        BAT1: battery('Not charging', '20', { energy_full: '30000000' }),
      },
      true,
      40,
    ],
    ['one with two batteries of unknown size', { BAT0: battery('Discharging', '100'), BAT1: battery('Full', '20', { energy_full: '3' }) }, true, 60],
    ['one whose battery does not say how full it is', { BAT0: { type: 'Battery', status: 'Discharging' } }, true, null],
    ['one whose battery says nonsense', { BAT0: battery('Discharging', 'a lot') }, true, null],
  ])('%s', async (_what, machine, isOnBattery, chargePercent) => {
    for (const [name, files] of Object.entries(machine)) await addPowerSupply(root, name, files);
    expect((await gather(silent)).power).toEqual(isOnBattery === null ? null : { isOnBattery, chargePercent });
  });

  test('a machine without any is not on battery, one without the folder is not known', async () => {
    expect((await gather(silent)).power).toBeNull();
    await mkdir(join(root, 'sys/class/power_supply'), { recursive: true });
    expect((await gather(silent)).power).toEqual({ isOnBattery: false, chargePercent: null });
  });
});

describe('metered', () => {
  test.each([
    [0, null],
    [1, true],
    [2, false],
    [3, true],
    [4, false],
    [99, null],
  ])('NetworkManager says %d', async (data, isMetered) => {
    expect((await gather(busWith({ [METERED]: { type: 'u', data } }))).isMetered).toBe(isMetered);
  });

  test.each(['', '{', '{"type":"s","data":"yes"}', 'u 1'])('an answer of another form is none: %s', async (text) => {
    expect((await gather(busWith({ [METERED]: text }))).isMetered).toBeNull();
  });
});

describe('sessions', () => {
  const ADA = { user: 'ada', seat: 'seat0', type: 'wayland', isRemote: false, isActive: true, isLocked: false, idleSince: null };

  async function sessionOf(changes: SessionChanges) {
    const facts = await gather(busWith({ [LIST]: sessionList('_32'), [allOf('_32')]: sessionProperties(changes) }));
    return facts.sessions;
  }

  test('a person at a desktop', async () => {
    expect(await sessionOf({})).toEqual([ADA]);
  });

  test.each([
    ['locked', { LockedHint: ['b', true] }, { isLocked: true }],
    ['idle', { IdleHint: ['b', true], IdleSinceHint: ['t', 1793624400123000] }, { idleSince: 1793624400123 }],
    ['in the background', { State: ['s', 'online'] }, { isActive: false }],
    ['closing', { State: ['s', 'closing'] }, { isActive: false }],
    ['over SSH', { Remote: ['b', true], Type: ['s', 'tty'], Seat: ['(so)', ['', '/']] }, { isRemote: true, type: 'tty', seat: null }],
  ] as const)('one that is %s', async (_what, changes, expected) => {
    expect(await sessionOf(changes)).toEqual([{ ...ADA, ...expected }]);
  });

  test.each(['greeter', 'lock-screen', 'background', 'manager', 'user-incomplete'])('one of the class %s is nobody', async (name) => {
    expect(await sessionOf({ Class: ['s', name] })).toEqual([]);
  });

  test('several, of which one ends before it is asked', async () => {
    const exec = busWith({
      [LIST]: sessionList('_31', '_32', '_33'),
      [allOf('_31')]: sessionProperties(),
      [allOf('_33')]: sessionProperties({ Name: ['s', 'bob'] }),
    });
    expect((await gather(exec)).sessions?.map(({ user }) => user)).toEqual(['ada', 'bob']);
  });

  test('nobody there is not the same as nobody knows', async () => {
    expect((await gather(busWith({ [LIST]: sessionList() }))).sessions).toEqual([]);
    expect((await gather(silent)).sessions).toBeNull();
    expect((await gather(busWith({ [LIST]: { type: 'a(susso)', data: [[['1']]] } }))).sessions).toBeNull();
  });

  test('a session that logind lists but describes in another form is not taken for nobody', async () => {
    expect((await gather(busWith({ [LIST]: sessionList('_32'), [allOf('_32')]: { type: 'a{sv}', data: [{}] } }))).sessions).toBeNull();
  });
});

describe('inhibitors', () => {
  const listed = (...rows: unknown[]) => ({ type: 'a(ssssuu)', data: [rows] });
  const of = async (value: unknown) => (await gather(busWith({ [INHIBITORS]: value }))).inhibitors;

  test('are read, but for the agent’s own', async () => {
    const own = ['shutdown:sleep:handle-lid-switch', 'floe-agent', 'This computer is being updated', 'block', 0, 77];
    const feigned = ['shutdown', 'floe-agent', 'somebody else says so', 'block', 1000, 78];
    const backup = ['shutdown:sleep', 'Backup', 'the disk', 'block', 0, 79];
    expect(await of(listed(own, feigned, backup))).toEqual([
      { what: ['shutdown'], who: 'floe-agent', why: 'somebody else says so', mode: 'block' },
      { what: ['shutdown', 'sleep'], who: 'Backup', why: 'the disk', mode: 'block' },
    ]);
    expect(await of(listed())).toEqual([]);
  });

  test('whose words would control a terminal or fill a page are cut', async () => {
    const [first] = (await of(listed(['idle', 'a\u001b[2Jb\nc', 'x'.repeat(5000), 'block', 1000, 1]))) ?? [];
    expect([...(first?.who ?? '\n')].every((character) => character >= ' ')).toBe(true);
    expect(first?.why).toHaveLength(120);
  });

  test('whatever programs write, each is read once, by a name, in short words on one line that can be stored', async () => {
    const someWords = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 300 }),
      fc.array(fc.constantFrom('😀', '\u001b[2J', '\u202e', '\n', ' ', 'x', '\u0301'), { maxLength: 300 }).map((parts) => parts.join('')),
    );
    const someRow = fc.record({
      what: fc.subarray(['shutdown', 'sleep', 'idle', 'handle-lid-switch', 'handle-power-key'], { minLength: 1 }),
      who: fc.oneof(someWords, fc.constantFrom('', ' ', 'floe-agent', 'Backup')),
      why: someWords,
      mode: fc.constantFrom('block', 'block-weak', 'delay', 'some-mode-to-come'),
      userId: fc.constantFrom(0, 1000),
      processId: fc.nat(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(someRow, { maxLength: 6 }), async (rows) => {
        const answered = rows.map(({ what, who, why, mode, userId, processId }) => [what.join(':'), who, why, mode, userId, processId]);
        const read = (await of(listed(...answered))) ?? [];
        const others = rows.filter(({ who, userId }) => who !== 'floe-agent' || userId !== 0);
        expect(read.map(({ what, mode }) => ({ what, mode }))).toEqual(others.map(({ what, mode }) => ({ what, mode })));
        for (const { who, why } of read) {
          expect(who.trim()).not.toBe('');
          expect(who.length).toBeLessThanOrEqual(60);
          expect(why.length).toBeLessThanOrEqual(120);
          for (const words of [who, why]) expect(words).toBe(oneLine(words));
        }
      }),
    );
  });

  test('a program is called by its name, not by where it lies in the store', async () => {
    // What systemd-inhibit calls one by itself is its command.
    const path = `/nix/store/${'0'.repeat(32)}-rsync-3.4.1/bin/rsync`;
    const [first] = (await of(listed(['shutdown', `${path} -a /home '${path}'`, `(${path})`, 'block', 1000, 1]))) ?? [];
    expect(first).toMatchObject({ who: "rsync -a /home 'rsync'", why: '(rsync)' });
    const somePart = fc.oneof(
      fc.constantFrom(path, `/nix/store/${'x'.repeat(32)}-backup.sh`, `/nix/store/${'y'.repeat(32)}-`, '/nix/store', ' ', '\n'),
      fc.string(),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(somePart, { maxLength: 40 }), async (parts) => {
        const [read] = (await of(listed(['idle', parts.join(''), parts.join(' '), 'block', 1000, 1]))) ?? [];
        expect(`${read?.who} ${read?.why}`).not.toMatch(/\/nix\/store\/\w{32}-/);
        expect(read?.why).toBe(oneLine(read?.why ?? ''));
      }),
    );
  });

  test('a name that is cut ends between characters', async () => {
    const [first] = (await of(listed(['idle', `x${'😀'.repeat(60)}`, '', 'block', 1000, 1]))) ?? [];
    expect(first?.who).toBe(`x${'😀'.repeat(29)}…`);
  });

  test.each(['', '{', '{"type":"a(ssssuu)","data":[[["idle"]]]}'])('an answer of another form is none: %s', async (text) => {
    expect(await of(text)).toBeNull();
  });
});

describe('each fact on its own', () => {
  test('without busctl there is still the power', async () => {
    await addPowerSupply(root, 'BAT0', { type: 'Battery', status: 'Discharging', capacity: '42' });
    const facts = await gather(async () => await Promise.reject(new Error('no such program')));
    expect(facts).toEqual({ power: { isOnBattery: true, chargePercent: 42 }, isMetered: null, sessions: null, inhibitors: null });
  });

  test('a bus that never answers takes no longer than the limit', async () => {
    const limits: number[] = [];
    const impatient: Clock = {
      ...systemClock,
      sleep: async (ms) => {
        limits.push(ms);
        await Promise.resolve();
      },
    };
    const facts = await gather(async () => await new Promise<never>(() => undefined), { clock: impatient, timeoutMs: 1234 });
    expect(facts).toMatchObject({ isMetered: null, sessions: null });
    expect(limits).toEqual([1234, 1234, 1234, 1234]);
  });

  test('what still runs is ended with the limit, or with the agent', async () => {
    const stopped = new AbortController();
    const seen: (AbortSignal | undefined)[] = [];
    const facts = gather(
      async (_file, _args, options) => {
        seen.push(options?.signal);
        return await new Promise<never>(() => undefined);
      },
      { signal: stopped.signal },
    );
    stopped.abort();
    expect(await facts).toMatchObject({ isMetered: null, sessions: null });
    expect(seen.map((signal) => signal?.aborted)).toEqual([true, true, true]);
  });
});
