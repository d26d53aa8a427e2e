import { AGENT_STATES, type AgentState, type WaitFacts } from '@floe/model';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { timeInWords } from './people-time.ts';
import { ENGLISH } from './words/languages.ts';
import { situationInWords, waitInWords } from './people.ts';

const NOW = Date.UTC(2026, 2, 1, 13, 5);
const HOUR = 3600_000;
const time = { now: NOW, timeZone: 'Europe/Berlin', language: ENGLISH };

describe('times', () => {
  test.each([
    [Date.UTC(2026, 2, 1, 16, 59), 'today at 17:59'],
    [Date.UTC(2026, 2, 1, 21), 'tonight at 22:00'],
    [Date.UTC(2026, 2, 1, 22, 59), 'tonight at 23:59'],
    [Date.UTC(2026, 2, 1, 23), 'tomorrow at 00:00'],
    [Date.UTC(2026, 1, 28, 22, 59), 'yesterday at 23:59'],
    [Date.UTC(2026, 2, 3, 1), 'on Tuesday at 02:00'],
    [Date.UTC(2026, 2, 7, 12), 'on Saturday at 13:00'],
    [Date.UTC(2026, 2, 8, 12), 'on 8 March 2026 at 13:00'],
    [Date.UTC(2026, 1, 24, 12), 'on 24 February 2026 at 13:00'],
  ])('%i is %s', (at, words) => {
    expect(timeInWords(at, time)).toBe(words);
  });

  test('days are counted, not hours, where the clocks change', () => {
    // 29 March 2026 has 23 hours in Berlin.
    expect(timeInWords(Date.UTC(2026, 2, 29, 21, 59), { ...time, now: Date.UTC(2026, 2, 28, 22, 59) })).toBe('tomorrow at 23:59');
  });

  test('each time zone has its own day', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 47 }),
        fc.constantFrom('UTC', 'Asia/Kathmandu', 'Pacific/Kiritimati', 'America/St_Johns'),
        (hours, timeZone) => {
          const at = NOW + hours * HOUR;
          const there = new Intl.DateTimeFormat('sv-SE', { dateStyle: 'short', timeStyle: 'short', timeZone }).format(at);
          expect(timeInWords(at, { now: NOW, timeZone, language: ENGLISH }).endsWith(there.slice(-5))).toBe(true);
        },
      ),
    );
  });
});

const facts = (changes: Partial<WaitFacts>): WaitFacts => ({ what: 'switch', codes: [], startsAt: null, latestAt: null, programs: [], ...changes });

test.each<[Partial<WaitFacts>, string]>([
  [{ codes: ['WINDOW_CLOSED'], startsAt: NOW + 8 * HOUR }, 'Your computer will update tonight at 22:05.'],
  [{ codes: ['LATER'], startsAt: NOW + HOUR, latestAt: NOW + 9 * HOUR }, 'Your computer will update today at 15:05.'],
  [{ codes: ['LATER'], startsAt: NOW - 1 }, 'Your computer will update soon.'],
  [
    { codes: ['ON_BATTERY'], latestAt: NOW + 24 * HOUR },
    'Your computer will update when it is plugged in or charged enough. It does so tomorrow at 14:05 at the latest.',
  ],
  [
    { codes: ['WINDOW_CLOSED', 'ON_BATTERY', 'SESSION_ACTIVE'], startsAt: NOW + 40 * HOUR },
    'Your computer will update when it is plugged in or charged enough, and nobody uses it. Not before Tuesday at 06:05.',
  ],
  [
    { what: 'download', codes: ['METERED'], latestAt: NOW + 24 * HOUR },
    'An update will be downloaded on another network, as this one may cost money. "Download here" downloads it on this one. ' +
      'It does so tomorrow at 14:05 at the latest.',
  ],
  [
    { what: 'restart', codes: ['SESSIONS_UNKNOWN', 'SESSION_ACTIVE', 'INHIBITED'], programs: ['Backup: backup of the disk is running'] },
    'Your computer will restart to update when nobody uses it, and this has ended: Backup: backup of the disk is running.',
  ],
  [{ what: 'restart', codes: ['REBOOT_LEFT_TO_PEOPLE'] }, 'An update begins when your computer restarts. Please restart it when it suits you.'],
  [
    { what: 'restart', codes: ['REBOOT_LEFT_TO_PEOPLE'], latestAt: NOW + 24 * HOUR },
    'An update begins when your computer restarts. Please restart it when it suits you. It restarts by itself tomorrow at 14:05 at the latest.',
  ],
  [
    { what: 'restart', codes: ['REBOOT_LEFT_TO_PEOPLE', 'LATER'], startsAt: NOW + 8 * HOUR },
    'An update begins when your computer restarts. Please restart it when it suits you. You are reminded tonight at 22:05.',
  ],
  [{ codes: ['SOME_CODE_TO_COME'], latestAt: NOW + 24 * HOUR }, 'Your computer will update later. It does so tomorrow at 14:05 at the latest.'],
])('%j', (changes, words) => {
  expect(waitInWords(facts(changes), time)).toBe(words);
});

test('whatever happens is said in whole sentences, without paths, codes and words of the trade', () => {
  const codes = (
    'WINDOW_CLOSED LATER ON_BATTERY METERED SESSION_ACTIVE SESSIONS_UNKNOWN INHIBITORS_UNKNOWN INHIBITED NO_WINDOWS WINDOWS_INVALID ADMINISTRATOR_ASKS ' +
    'REBOOT_LEFT_TO_PEOPLE RESTARTING REBOOT_FAILED AWAITS_RESTART DISK_FULL BOOT_DISK_FULL CACHE_NOT_REACHED SWITCH_HELD TO_COME'
  ).split(' ');
  const someTime = fc.option(fc.integer({ min: NOW - 24 * HOUR, max: NOW + 1000 * HOUR }));
  const someWait = fc.record({
    what: fc.constantFrom('download' as const, 'switch' as const, 'restart' as const),
    codes: fc.subarray(codes, { minLength: 1 }),
    startsAt: someTime,
    latestAt: someTime,
    programs: fc.constantFrom([], ['Backup'], ['Backup', 'Firefox: \u202e\n playing']),
  });
  const someDetail = fc.option(fc.record({ code: fc.constantFrom(...codes), wait: someWait }, { requiredKeys: ['code'] }));
  fc.assert(
    fc.property(fc.constantFrom<AgentState>(...AGENT_STATES), someDetail, someTime, (state, detail, trialEndsAt) => {
      const words = situationInWords({ state, detail, trialEndsAt }, time);
      expect(words).toMatch(/^[A-Z][^\n\u202e]*\.$/u);
      expect(words).not.toMatch(/ {2}|\.\.|undefined|null|NaN|Invalid/);
      expect(words).not.toMatch(/\/nix|[A-Z]{2,}/);
      expect(words).not.toMatch(/\b(?:system|toplevel|generation|directive|roll|quarantine|stage|deferr|session|policy|idle|agent|fleet)/i);
    }),
  );
});
