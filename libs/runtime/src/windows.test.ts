import type { RingWindow } from '@floe/model';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readCron } from './cron.ts';
import { lookBudget } from './look-budget.ts';
import { openMsBetween, ringWindowState, timeAfterOpenMs } from './windows.ts';
import { readWindowSpans } from './window-spans.ts';
import { yearOfWindows } from './windows-year.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const BERLIN = 'Europe/Berlin';

const neverOpens = (given: readonly (readonly RingWindow[])[], from: number) => yearOfWindows(from).neverOpens(given);
const windowProblems = (windows: readonly RingWindow[], from: number) => yearOfWindows(from).problems(windows);

const at = (time: string): number => Date.parse(time);
const allow = (cron: string, hours: number, timeZone = 'UTC'): RingWindow => ({ kind: 'allow', cron, durationMs: hours * HOUR_MS, timeZone });
const deny = (cron: string, hours: number, timeZone = 'UTC'): RingWindow => ({ ...allow(cron, hours, timeZone), kind: 'deny' });

/** "open until TIME", "closed until TIME", or without a time when nothing changes. */
function read(windows: readonly RingWindow[], now: string): string {
  const { isOpen, changesAt } = ringWindowState([windows], at(now));
  const until = changesAt === undefined ? '' : ` until ${new Date(changesAt).toISOString().replace(':00.000Z', 'Z')}`;
  return `${isOpen ? 'open' : 'closed'}${until}`;
}

describe('a ring’s windows', () => {
  test('without any, changes may always begin', () => {
    expect(ringWindowState([[]], 0)).toEqual({ isOpen: true });
    expect(openMsBetween([[]], 5, 25)).toBe(20);
    expect(openMsBetween([[]], 25, 5)).toBe(0);
    expect(neverOpens([[]], 0)).toBe(false);
  });

  test('one that allows is open from its start to just before its end', () => {
    const night = [allow('0 2 * * *', 2)];
    expect(read(night, '2026-11-02T01:59:59.999Z')).toBe('closed until 2026-11-02T02:00Z');
    expect(read(night, '2026-11-02T02:00:00.000Z')).toBe('open until 2026-11-02T04:00Z');
    expect(read(night, '2026-11-02T03:59:59.999Z')).toBe('open until 2026-11-02T04:00Z');
    expect(read(night, '2026-11-02T04:00:00.000Z')).toBe('closed until 2026-11-03T02:00Z');
  });

  test('with only some that deny, changes may begin at all other times', () => {
    const friday = [deny('0 12 * * fri', 60)];
    expect(read(friday, '2026-11-05T00:00Z')).toBe('open until 2026-11-06T12:00Z');
    expect(read(friday, '2026-11-07T00:00Z')).toBe('closed until 2026-11-09T00:00Z');
  });

  test('what denies wins over what allows, also in the middle', () => {
    const windows = [allow('0 0 * * *', 10), deny('0 4 * * *', 1)];
    expect(read(windows, '2026-11-02T01:00Z')).toBe('open until 2026-11-02T04:00Z');
    expect(read(windows, '2026-11-02T04:30Z')).toBe('closed until 2026-11-02T05:00Z');
    expect(read(windows, '2026-11-02T06:00Z')).toBe('open until 2026-11-02T10:00Z');
    expect(openMsBetween([windows], at('2026-11-02T00:00Z'), at('2026-11-04T00:00Z'))).toBe(18 * HOUR_MS);
  });

  test('a deadline counts open time only, as the time that has passed does', () => {
    const from = at('2026-11-02T00:00Z');
    expect(timeAfterOpenMs([[]], from, 5)).toBe(from + 5);
    expect(timeAfterOpenMs([[allow('0 25 * * *', 1)]], from, 5)).toBeUndefined();
    expect(timeAfterOpenMs([[allow('0 0 * * *', 24), deny('0 0 * * *', 24)]], from, 5)).toBeUndefined();
    const windows = [allow('0 2 * * *', 2), deny('0 3 * * tue', 1)];
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 7 * DAY_MS }), fc.integer({ min: 1, max: 60 * HOUR_MS }), (later, openMs) => {
        const reached = timeAfterOpenMs([windows], from + later, openMs) ?? 0;
        expect(openMsBetween([windows], from + later, reached)).toBe(openMs);
        expect(openMsBetween([windows], from + later, reached - 1)).toBe(openMs - 1);
      }),
      { numRuns: 30 },
    );
  });

  test('several that allow and touch are one', () => {
    expect(read([allow('0 2 * * *', 2), allow('0 4 * * *', 1, BERLIN), allow('30 3 * * *', 3)], '2026-11-02T02:10Z')).toBe(
      'open until 2026-11-02T06:30Z',
    );
  });

  test('a long one that began long ago still counts: the holidays', () => {
    const holidays = [deny('0 0 15 12 *', 24 * 21, BERLIN)];
    expect(read(holidays, '2027-01-03T00:00Z')).toBe('closed until 2027-01-04T23:00Z');
    expect(read(holidays, '2027-01-06T00:00Z')).toBe('open until 2027-12-14T23:00Z');
  });

  test('one that cannot be read keeps the ring closed, whichever kind it is', () => {
    for (const broken of [allow('0 25 * * *', 1), deny('0 25 * * *', 1), deny('0 2 * *', 1), allow('0 2 * * *', 1, 'Europe/Berln')]) {
      const windows = [allow('* * * * *', 1), broken];
      expect(ringWindowState([windows], 0)).toEqual({ isOpen: false, problem: expect.stringContaining(`"${broken.cron}" in ${broken.timeZone}`) });
      expect(openMsBetween([windows], 0, DAY_MS)).toBe(0);
      expect(neverOpens([windows], 0)).toBe(true);
    }
  });

  test('a clock that jumps counts nothing backwards, and takes no time forwards', () => {
    const night = [allow('0 2 * * *', 2)];
    expect(openMsBetween([night], at('2026-11-02T00:00Z'), at('2020-01-01T00:00Z'))).toBe(0);
    const start = performance.now();
    expect(openMsBetween([night], 0, at('2026-11-02T00:00Z'))).toBe(800 * 2 * HOUR_MS);
    for (const now of [0, at('1980-01-01T00:00Z'), at('2106-01-01T00:00Z'), at('2199-12-31T00:00Z')]) {
      expect(ringWindowState([night], now)).toMatchObject({ isOpen: false, changesAt: now + 2 * HOUR_MS });
    }
    expect(performance.now() - start).toBeLessThan(2000);
  });
});

describe('a change of the clocks', () => {
  test.each([
    // 02:00 became 03:00.
    ['Berlin in spring', BERLIN, '30 2 * * *', '2026-03-29T00:00Z', '2026-03-29T01:00Z'],
    // 03:00 became 02:00: once, at the first 02:30.
    ['Berlin in autumn', BERLIN, '30 2 * * *', '2026-10-25T00:00Z', '2026-10-25T00:30Z'],
    // Midnight became 01:00, so the day begins then.
    ['Santiago in spring', 'America/Santiago', '30 0 * * *', '2026-09-05T12:00Z', '2026-09-06T04:00Z'],
    // Midnight became 23:00 of the day before.
    ['Santiago in autumn', 'America/Santiago', '30 23 * * *', '2026-04-04T12:00Z', '2026-04-05T02:30Z'],
    // 02:00 became 02:30.
    ['Lord Howe in spring', 'Australia/Lord_Howe', '15 2 * * *', '2026-10-03T12:00Z', '2026-10-03T15:30Z'],
    // 02:00 became 01:30.
    ['Lord Howe in autumn', 'Australia/Lord_Howe', '45 1 * * *', '2026-04-04T12:00Z', '2026-04-04T14:45Z'],
    ['Kolkata has none, and is half an hour off', 'Asia/Kolkata', '0 2 * * *', '2026-03-28T22:00Z', '2026-03-29T20:30Z'],
  ])('%s: a window of an hour opens once, and for an hour', (_, timeZone, cron, from, opens) => {
    const windows = [allow(cron, 1, timeZone)];
    expect(read(windows, from)).toBe(`closed until ${opens}`);
    expect(ringWindowState([windows], at(opens))).toEqual({ isOpen: true, changesAt: at(opens) + HOUR_MS });
    // The day of the change and the next one.
    expect(openMsBetween([windows], at(opens), at(opens) + 20 * HOUR_MS)).toBe(HOUR_MS);
  });

  test('one that begins each half hour goes on through the hour that is repeated, and leaves out the one that is skipped', () => {
    const windows = [{ ...allow('*/30 2 * * *', 0.5, BERLIN) }];
    const night = (day: string): number => openMsBetween([windows], at(`${day}T00:00Z`) - 2 * HOUR_MS, at(`${day}T12:00Z`));
    expect(night('2026-10-24')).toBe(HOUR_MS);
    expect(night('2026-10-25')).toBe(2 * HOUR_MS);
    expect(night('2026-03-29')).toBe(0);
  });

  test('business hours that deny are those of the wall, in summer and winter', () => {
    const office = [deny('0 9 * * mon-fri', 8, BERLIN)];
    expect(read(office, '2026-03-27T12:00Z')).toBe('closed until 2026-03-27T16:00Z');
    expect(read(office, '2026-03-30T12:00Z')).toBe('closed until 2026-03-30T15:00Z');
  });
});

describe('a year', () => {
  const NOW = at('2026-11-02T12:00Z');

  test('shows which windows never open, and why', () => {
    const windows = [allow('0 2 30 2 *', 1), allow('0 10 * * mon', 2), deny('0 9 * * mon-fri', 8), allow('0 20 * * *', 2), deny('x 2 * * *', 1)];
    expect(windowProblems([deny('0 2 30 2 *', 1)], NOW)).toEqual([
      expect.objectContaining({ message: expect.stringContaining('denies nothing within a year') }),
    ]);
    expect(windowProblems(windows, NOW)).toEqual([
      { index: 0, message: 'the window "0 2 30 2 *" in UTC allows nothing within a year: there is no such day in it' },
      { index: 1, message: 'the window "0 10 * * mon" in UTC never opens: windows that deny cover it for the whole year' },
      { index: 4, message: expect.stringContaining('the window "x 2 * * *" in UTC cannot be read') },
    ]);
  });

  test('shows a ring that never opens', () => {
    expect(neverOpens([[allow('0 2 30 2 *', 1)]], NOW)).toBe(true);
    expect(neverOpens([[allow('0 2 * * *', 1), deny('0 0 * * *', 24)]], NOW)).toBe(true);
    expect(neverOpens([[allow('0 2 1 10 *', 1), deny('0 0 1-30 * *', 24)]], NOW)).toBe(true);
    expect(neverOpens([[allow('0 2 31 10 *', 1), deny('0 0 1-30 * *', 24)]], NOW)).toBe(false);
    expect(windowProblems([allow('0 2 * * *', 1), deny('0 12 * * *', 1)], NOW)).toEqual([]);
  });

  test('of windows that begin each minute does not ask for each of them', () => {
    const windows = [
      allow('* 2-5 * * *', 1 / 60, BERLIN),
      allow('*/2 * * * *', 1 / 60, 'America/New_York'),
      deny('1-59/2 * * * *', 1 / 60, 'Asia/Kolkata'),
      deny('* * * * *', 1 / 60, BERLIN),
    ];
    const start = performance.now();
    expect(neverOpens([windows], NOW)).toBeUndefined();
    expect(ringWindowState([windows], NOW)).toEqual({ isOpen: false });
    expect(ringWindowState([[allow('* * * * *', 1 / 60, BERLIN)]], NOW)).toEqual({ isOpen: true });
    expect(openMsBetween([windows.slice(0, 1)], NOW, NOW + 365 * DAY_MS)).toBe(365 * 4 * HOUR_MS);
    // 1.5 s on a machine with two cores. Asking for each time takes minutes.
    expect(performance.now() - start).toBeLessThan(60_000);
  });

  test('of as many windows as a policy can have, each as often as possible, takes no longer than some seconds', () => {
    const windows = Array.from({ length: 50 }, (_, index) => ({ ...deny(`${index % 2}-59/2 * * * *`, 1 / 60, BERLIN), durationMs: 60_001 }));
    const start = performance.now();
    expect(ringWindowState([windows], NOW).isOpen).toBe(false);
    expect(neverOpens([windows], NOW)).toBeUndefined();
    expect(openMsBetween([windows], 0, NOW)).toBe(0);
    // 1 s on a machine with two cores.
    expect(performance.now() - start).toBeLessThan(60_000);
  });
});

describe('any window', () => {
  const anyZone = fc.constantFrom(
    'UTC',
    BERLIN,
    'America/Santiago',
    'America/New_York',
    'America/Nuuk',
    'America/Havana',
    'America/St_Johns',
    'Africa/Casablanca',
    'Asia/Kolkata',
    'Asia/Kathmandu',
    'Australia/Lord_Howe',
    'Pacific/Chatham',
    'Pacific/Kiritimati',
    'Pacific/Niue',
  );
  const field = (low: number, high: number, rare: readonly string[]) =>
    fc.oneof(
      fc.constant('*'),
      fc.integer({ min: low, max: high }).map(String),
      fc.uniqueArray(fc.integer({ min: low, max: high }), { minLength: 1, maxLength: 3 }).map((some) => some.join(',')),
      fc.constantFrom(...rare),
    );
  const cronWith = (minute: fc.Arbitrary<string>) =>
    fc
      .tuple(
        minute,
        field(0, 23, ['*/6', '0-3', '1-2', '22-23', '1-22/5,2', '03']),
        fc.oneof({ weight: 6, arbitrary: fc.constant('*') }, field(1, 31, ['L', '*/2'])),
        fc.oneof({ weight: 6, arbitrary: fc.constant('*') }, field(1, 12, ['3,10', '4,9'])),
        fc.oneof({ weight: 6, arbitrary: fc.constant('*') }, field(0, 6, ['sun', 'mon-fri', 'fri#2'])),
      )
      .map((fields) => fields.join(' '));
  const anyCron = cronWith(field(0, 59, ['*/20', '0-10', '59', '5-50/7,*/9', '0-59', '?', '07']));
  const anyDuration = fc.constantFrom(MINUTE_MS, 20 * MINUTE_MS, HOUR_MS, 5 * HOUR_MS, DAY_MS, 3 * DAY_MS);
  const anyWindow: fc.Arbitrary<RingWindow> = fc.record({
    kind: fc.constantFrom('allow', 'deny'),
    cron: anyCron,
    durationMs: anyDuration,
    timeZone: anyZone,
  });
  // Few times a day: a change that is far away is found after many days.
  const someWindows = fc.array(
    fc.record({
      kind: fc.constantFrom('allow', 'deny'),
      cron: cronWith(fc.constantFrom('0', '59', '15,45')),
      durationMs: anyDuration,
      timeZone: anyZone,
    }),
    { maxLength: 3 },
  );
  // Days on which clocks change somewhere, and others.
  const anyTime = fc
    .tuple(
      fc.constantFrom(
        '2026-03-08',
        '2026-03-29',
        '2026-04-05',
        '2026-09-06',
        '2026-09-27',
        '2026-10-04',
        '2026-10-25',
        '2026-11-01',
        '2027-02-07',
        '2028-02-29',
      ),
      fc.integer({ min: -48 * 60, max: 48 * 60 }),
    )
    .map(([day, minutes]) => at(`${day}T00:00Z`) + minutes * MINUTE_MS);

  test('is active exactly from each time that its cron expression names', () => {
    fc.assert(
      fc.property(anyWindow, anyTime, (window, from) => {
        const spans = readWindowSpans(window);
        const cron = readCron(window.cron, window.timeZone);
        if (spans.kind === 'mistake' || cron.kind === 'mistake') throw new Error('the window is not read');
        const to = from + 30 * HOUR_MS;
        const expected: { from: number; to: number }[] = [];
        for (let start = cron.startAfter(from - window.durationMs); start !== undefined && start < to; start = cron.startAfter(start)) {
          const span = { from: Math.max(from, start), to: Math.min(to, start + window.durationMs) };
          const last = expected.at(-1);
          if (last !== undefined && span.from <= last.to) last.to = Math.max(last.to, span.to);
          else expected.push(span);
          if (span.to >= to) break;
        }
        expect(spans.within({ from, to }, lookBudget())).toEqual(expected);
      }),
    );
  });

  test('changes when it says, and not before', () => {
    fc.assert(
      fc.property(someWindows, anyTime, fc.double({ min: 0, max: 1, noNaN: true }), (windows, now, part) => {
        const { isOpen, changesAt } = ringWindowState([windows], now);
        if (changesAt === undefined) {
          expect(openMsBetween([windows], now, now + 90 * DAY_MS)).toBe(isOpen ? 90 * DAY_MS : 0);
          return;
        }
        expect(changesAt).toBeGreaterThan(now);
        expect(ringWindowState([windows], changesAt).isOpen).toBe(!isOpen);
        const between = now + Math.floor((changesAt - now) * part * 0.999);
        expect(ringWindowState([windows], between).isOpen).toBe(isOpen);
        expect(openMsBetween([windows], now, changesAt)).toBe(isOpen ? changesAt - now : 0);
      }),
    );
  });

  test('counts the same time in one piece and in two', () => {
    fc.assert(
      fc.property(someWindows, anyTime, fc.nat(10 * DAY_MS), fc.nat(10 * DAY_MS), (windows, from, first, second) => {
        const [middle, to] = [from + first, from + first + second];
        expect(openMsBetween([windows], from, middle) + openMsBetween([windows], middle, to)).toBe(openMsBetween([windows], from, to));
      }),
    );
  });
});

describe('windows that go by the time of each host', () => {
  const night = (zone: string): readonly RingWindow[] => [allow('0 2 * * *', 2, zone), deny('0 2 * * sun', 2, zone)];

  test('are open while they are for some host, and a deadline counts that time once', () => {
    const given = [night('UTC'), night('Asia/Tokyo'), night('Europe/Paris')];
    const noon = at('2026-11-02T12:00Z');
    expect(ringWindowState(given, noon)).toEqual({ isOpen: false, changesAt: at('2026-11-02T17:00Z') });
    // Paris begins when Tokyo is over for long, and UTC while Paris is open.
    expect(ringWindowState(given, at('2026-11-03T01:00Z'))).toEqual({ isOpen: true, changesAt: at('2026-11-03T04:00Z') });
    expect(openMsBetween(given, noon, noon + DAY_MS)).toBe(5 * HOUR_MS);
    expect(timeAfterOpenMs(given, noon, 3 * HOUR_MS)).toBe(at('2026-11-03T02:00Z'));
    expect(neverOpens(given, noon)).toBe(false);
  });

  test('in a time zone that does not exist keep only its own hosts from changing', () => {
    const [known, both] = [[night('UTC')], [night('UTC'), night('Mars/Phobos')]];
    const noon = at('2026-11-02T12:00Z');
    expect(ringWindowState(both, noon)).toEqual(ringWindowState(known, noon));
    expect(ringWindowState([night('Mars/Phobos'), night('host')], noon)).toMatchObject({
      isOpen: false,
      problem: expect.stringContaining('Mars/Phobos'),
    });
  });

  test('are those of each host together, at any time', () => {
    const zone = fc.constantFrom('UTC', 'Asia/Tokyo', 'America/New_York', 'Australia/Lord_Howe', 'Etc/GMT+12');
    const cron = fc.constantFrom('0 2 * * *', '30 1 * * mon-fri', '0 */6 * * *');
    const minute = fc.integer({ min: 0, max: 400 * 24 * 60 });
    fc.assert(
      fc.property(fc.uniqueArray(zone, { minLength: 1, maxLength: 4 }), cron, minute, (zones, text, minutes) => {
        const now = at('2026-01-01T00:00Z') + minutes * MINUTE_MS;
        const each = zones.map((name) => [allow(text, 3, name), deny('0 3 * * *', 1, name)]);
        const alone = each.map((windows) => ringWindowState([windows], now));
        const { isOpen, changesAt } = ringWindowState(each, now);
        expect(isOpen).toBe(alone.some((state) => state.isOpen));
        if (!isOpen) expect(changesAt).toBe(Math.min(...alone.map((state) => state.changesAt ?? Infinity)));
        const open = each.map((windows) => openMsBetween([windows], now, now + 3 * DAY_MS));
        const all = openMsBetween(each, now, now + 3 * DAY_MS);
        expect(all).toBeGreaterThanOrEqual(Math.max(...open));
        expect(all).toBeLessThanOrEqual(open.reduce((sum, ms) => sum + ms, 0));
      }),
    );
  });
});
