import { windowsIn, windowsOfRing, type RingWindow } from '@floe/model';
import { describe, expect, test } from 'vitest';
import { openMsBetween, ringWindowState } from './windows.ts';

// What docs/policy.md says of the changes of the clocks, for a window in the policy's zone and for one by each host's own.

const HOUR = 3_600_000;
const at = (time: string): number => Date.parse(time);
const host = (timeZone: string | undefined, isEligible = true) => ({ timeZone, isEligible });
const allow = (cron: string, timeZone: string, hours = 1): RingWindow => ({ kind: 'allow', cron, durationMs: hours * HOUR, timeZone });

/** When the window opens in the days around `day`, as UTC, with how many minutes it stays open. */
function openings(windows: readonly RingWindow[], day: string): string[] {
  const found: string[] = [];
  const end = at(`${day}T00:00Z`) + 36 * HOUR;
  for (let time = at(`${day}T00:00Z`) - 12 * HOUR; time < end;) {
    const { isOpen, changesAt = end } = ringWindowState([windows], time);
    if (isOpen) found.push(`${new Date(time).toISOString().slice(0, 16)} ${(changesAt - time) / 60_000}`);
    time = changesAt;
  }
  return found;
}

describe.each([
  ['policy', (zone: string, cron: string) => [allow(cron, zone)]],
  ['host', (zone: string, cron: string) => windowsIn([allow(cron, 'host')], zone)],
] as const)('a window by the time of the %s', (_, windowsFor) => {
  test.each([
    // The hour that is missing: right after it, once, and as long as ever.
    ['Europe/Berlin', '30 2 * * *', '2026-03-29', ['2026-03-29T01:00 60', '2026-03-30T00:30 60']],
    ['America/New_York', '30 2 * * *', '2026-03-08', ['2026-03-08T07:00 60', '2026-03-09T06:30 60']],
    // The hour that comes twice: the first time, and not again.
    ['Europe/Berlin', '30 2 * * *', '2026-10-25', ['2026-10-25T00:30 60', '2026-10-26T01:30 60']],
    ['America/New_York', '30 1 * * *', '2026-11-01', ['2026-11-01T05:30 60', '2026-11-02T06:30 60']],
    // Several times: none in the hour that is missing, and all of them twice in the one that comes twice.
    ['Europe/Berlin', '0,30 2 29,25 3,10 *', '2026-03-29', []],
    ['Europe/Berlin', '0,30 2 29,25 3,10 *', '2026-10-25', ['2026-10-25T00:00 150']],
    // A zone that changes nothing.
    ['Asia/Tokyo', '30 2 * * *', '2026-03-29', ['2026-03-28T17:30 60', '2026-03-29T17:30 60']],
  ])('in %s, %s around %s', (zone, cron, day, opened) => {
    expect(openings(windowsFor(zone, cron), day)).toEqual(opened);
  });
});

test('a ring with hosts on both sides of a change is open while it is for any of them, and its deadline counts each hour once', () => {
  const night = [allow('0 2 * * *', 'host', 2)];
  const hosts = [host('Europe/Berlin'), host('Asia/Tokyo'), host(undefined)];
  const given = windowsOfRing(night, hosts);
  expect(given.map(([window]) => window?.timeZone)).toEqual(['Asia/Tokyo', 'Europe/Berlin', 'UTC']);
  const openOf = (day: string): number => openMsBetween(given, at(`${day}T00:00Z`) - 12 * HOUR, at(`${day}T00:00Z`) + 12 * HOUR) / HOUR;
  // Berlin begins at 01:00, 00:00 and 01:00 UTC, each for two hours; UTC from 02:00 to 04:00, and Tokyo apart from both.
  expect([openOf('2026-03-28'), openOf('2026-03-30'), openOf('2026-10-26')]).toEqual([5, 6, 5]);
  // In the night of the change it begins after the missing hour, at 03:00 there; in autumn at the first 02:00.
  expect([openOf('2026-03-29'), openOf('2026-10-25')]).toEqual([5, 6]);
});

test('who is asked decides by whose time a ring goes; where nobody is, all of its hosts do; a zone of the policy is everybody’s', () => {
  const zonesOf = (zone: string, hosts: readonly ReturnType<typeof host>[]) =>
    windowsOfRing([allow('0 2 * * *', zone)], hosts).map(([window]) => window?.timeZone);
  expect(zonesOf('host', [host('Asia/Tokyo', false), host('Europe/Paris'), host('Europe/Paris')])).toEqual(['Europe/Paris']);
  expect(zonesOf('host', [host('Asia/Tokyo', false)])).toEqual(['Asia/Tokyo']);
  expect(zonesOf('host', [])).toEqual(['UTC']);
  expect(zonesOf('Europe/Berlin', [host('Asia/Tokyo')])).toEqual(['Europe/Berlin']);
  expect(windowsIn([allow('0 2 * * *', 'Europe/Berlin')], 'Asia/Tokyo')[0]?.timeZone).toBe('Europe/Berlin');
});
