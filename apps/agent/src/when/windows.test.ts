import type { MaintenanceWindow } from '@floe/protocol';
import { expect, test } from 'vitest';
import { readWindows } from './windows.ts';

const BERLIN = 'Europe/Berlin';

function window(cron: string, durationMinutes: number, timeZone = 'UTC'): MaintenanceWindow {
  return { cron, durationMinutes, timeZone };
}

/** `open`, or when it opens next. */
function read(windows: readonly MaintenanceWindow[], now: string): string {
  const state = readWindows(windows, Date.parse(now));
  return state.kind === 'closed' ? new Date(state.opensAt).toISOString().replace(':00.000Z', 'Z') : state.kind;
}

test('without windows any time will do', () => {
  expect(readWindows([], 0)).toEqual({ kind: 'unlimited' });
});

test.each([
  ['2026-11-02T01:59:59.999Z', '2026-11-02T02:00Z'],
  ['2026-11-02T02:00:00.000Z', 'open'],
  ['2026-11-02T03:59:59.999Z', 'open'],
  ['2026-11-02T04:00:00.000Z', '2026-11-03T02:00Z'],
])('a window is open from its start to just before its end: %s → %s', (now, expected) => {
  expect(read([window('0 2 * * *', 120)], now)).toBe(expected);
});

test('its times are those of its zone', () => {
  expect(read([window('0 2 * * tue', 60, BERLIN)], '2026-11-02T12:00Z')).toBe('2026-11-03T01:00Z');
  expect(read([window('0 2 * * tue', 60, 'America/New_York')], '2026-11-02T12:00Z')).toBe('2026-11-03T07:00Z');
});

test('one that is longer than the time between its starts is always open', () => {
  for (const hour of ['00', '07', '13', '23']) expect(read([window('0 2 * * *', 36 * 60)], `2026-11-02T${hour}:30Z`)).toBe('open');
});

test('one may last over midnight and over days', () => {
  const weekend = [window('0 20 * * fri', 60 * 60)];
  expect(read(weekend, '2026-11-06T19:59Z')).toBe('2026-11-06T20:00Z');
  expect(read(weekend, '2026-11-08T12:00Z')).toBe('open');
  expect(read(weekend, '2026-11-09T08:00Z')).toBe('2026-11-13T20:00Z');
});

test('of several, any one will do, and the next to open is named', () => {
  const both = [window('0 2 * * *', 60), window('30 2 * * *', 60, BERLIN)];
  expect(read(both, '2026-11-02T01:45Z')).toBe('open');
  expect(read(both, '2026-11-02T02:45Z')).toBe('open');
  expect(read(both, '2026-11-02T12:00Z')).toBe('2026-11-03T01:30Z');
});

test('in spring, a start in the hour that is skipped comes right after it', () => {
  // 02:00 became 03:00 on 2026-03-29 in Berlin.
  const night = [window('30 2 * * *', 30, BERLIN)];
  expect(read(night, '2026-03-29T00:59Z')).toBe('2026-03-29T01:00Z');
  expect(read(night, '2026-03-29T01:29Z')).toBe('open');
  expect(read(night, '2026-03-29T01:30Z')).toBe('2026-03-30T00:30Z');
});

test('in autumn, a start in the hour that is repeated comes once', () => {
  // 03:00 became 02:00 on 2026-10-25 in Berlin: 02:30 was at 00:30Z and at 01:30Z.
  const night = [window('30 2 * * *', 30, BERLIN)];
  expect(read(night, '2026-10-25T00:15Z')).toBe('2026-10-25T00:30Z');
  expect(read(night, '2026-10-25T00:45Z')).toBe('open');
  for (const later of ['01:00', '01:10', '01:30', '01:45', '02:45']) expect(read(night, `2026-10-25T${later}Z`)).toBe('2026-10-26T01:30Z');
});

test.each([
  ['2026-03-29T00:00Z', '0 1 * * *'],
  ['2026-10-25T00:00Z', '0 2 * * *'],
])('a window over the change of the clocks (from %s) is as long as any other', (midnight, cron) => {
  const start = Date.parse(midnight);
  const night = [window(cron, 180, BERLIN)];
  const kindAfter = (ms: number): string => readWindows(night, start + ms).kind;
  expect([kindAfter(-1), kindAfter(0), kindAfter(180 * 60_000 - 1), kindAfter(180 * 60_000)]).toEqual(['closed', 'open', 'open', 'closed']);
});

test.each([
  ['0 2 * *', 'UTC', 'is not five fields'],
  ['0 0 2 * * *', 'UTC', 'is not five fields'],
  ['@daily', 'UTC', 'is not five fields'],
  ['2026-11-02T00:00:00', 'UTC', 'is not five fields'],
  ['0 25 * * *', 'UTC', 'cannot be read: Invalid value for hour: 25'],
  ['x 2 * * *', 'UTC', 'cannot be read'],
  ['0 2 30 2 *', 'UTC', 'never opens'],
  ['0 2 * * *', 'Europe/Berln', 'has a time zone that does not exist'],
])('"%s" in %s is named as a mistake', (cron, timeZone, said) => {
  const broken = window(cron, 60, timeZone);
  const state = readWindows([broken], Date.parse('2026-11-02T12:00Z'));
  expect(state).toMatchObject({ kind: 'invalid', problem: expect.stringContaining(said) });
  expect(state).toMatchObject({ problem: expect.stringContaining(`"${cron}" in ${timeZone}`) });
});

test('one that is a mistake does not take the others away', () => {
  const mixed = [window('0 25 * * *', 60), window('0 2 * * *', 60)];
  expect(readWindows(mixed, Date.parse('2026-11-02T02:30Z'))).toMatchObject({ kind: 'open', problem: expect.stringContaining('0 25') });
  expect(readWindows(mixed, Date.parse('2026-11-02T12:00Z'))).toMatchObject({ kind: 'closed', problem: expect.stringContaining('0 25') });
});

test('a clock that is decades off is no mistake of the windows', () => {
  for (const now of [0, Date.UTC(1980, 0, 1), Date.UTC(2106, 0, 1)]) expect(readWindows([window('0 2 * * *', 60, BERLIN)], now).kind).toBe('closed');
});
