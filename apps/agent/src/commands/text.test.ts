import type { StorePath } from '@floe/model';
import { describe, expect, it } from 'vitest';
import { AFTER, BEFORE, CHANGES, STATUS } from '../test/fake-requests.ts';
import { parseMinutes } from './duration.ts';
import { groupId, groupName } from '../local/group.ts';
import { peopleStatus } from './people-status.ts';
import { ENGLISH, languageOf } from '../text/words/languages.ts';
import { bytes, changesText } from './changes-text.ts';
import { localTime, statusText, table } from './text.ts';

const NOW = Date.UTC(2026, 2, 1, 13, 5);
const time = { now: NOW, timeZone: 'Europe/Berlin', language: ENGLISH };

describe('durations', () => {
  it.each([
    ['30m', 30],
    ['2h', 120],
    ['1d', 1440],
    ['1h30m', 90],
  ])('%s is %i minutes', (text, minutes) => {
    expect(parseMinutes(text)).toBe(minutes);
  });
  it.each(['', '30', 'h', '2 h', '-1h', '1.5h', '0m', '2w', '30mx', 'later', '9999999m'])('"%s" is wrong usage', (text) => {
    expect(() => parseMinutes(text)).toThrow(expect.objectContaining({ code: 'USAGE' }) as Error);
  });
});

describe('times', () => {
  it.each([
    [Date.UTC(2026, 2, 1, 22, 59), 'today 23:59'],
    [Date.UTC(2026, 2, 1, 23, 0), 'tomorrow 00:00'],
    [Date.UTC(2026, 1, 28, 22, 59), 'yesterday 23:59'],
    [Date.UTC(2026, 2, 4, 12), '2026-03-04 13:00'],
    [Date.UTC(2025, 2, 1, 12), '2025-03-01 13:00'],
  ])('%i is %s', (at, text) => {
    expect(localTime(at, time)).toBe(text);
  });
  it('counts days and not hours where the clocks change', () => {
    // 29 March 2026 has 23 hours in Berlin.
    expect(localTime(Date.UTC(2026, 2, 29, 21, 59), { now: Date.UTC(2026, 2, 28, 22, 59), timeZone: 'Europe/Berlin' })).toBe('tomorrow 23:59');
  });
});

it('the status says what is tried, until when, and what ends it', () => {
  const status = statusText({ ...STATUS, state: 'TRYING', waiting: null, trial: { endsAt: Date.UTC(2026, 2, 1, 15, 30) } }, time);
  expect(status).toContain('This computer tries ccccccc until today 16:30; floe-agent rollback ends it');
  expect(statusText(STATUS, time)).not.toContain('tries');
});

it.each([
  [0, '0.0 kB'],
  [3_100_000, '3.1 MB'],
  [999_949, '999.9 kB'],
  [999_950, '1.0 MB'],
  [4_123_000_000, '4.1 GB'],
])('%i bytes are %s', (count, text) => {
  expect(bytes(count)).toBe(text);
});

it('finds groups by name and by number, and nothing in nonsense', () => {
  const text = 'root:x:0:\n# wheel:x:1:\nfloe:x:4711:ada\nbroken\nfloe-x:x:12:\n:x:3:\nno:x:abc:\n';
  expect([groupId(text, 'floe'), groupId(text, 'root'), groupId(text, 'flo'), groupId(text, 'no'), groupId(text, '')]).toEqual([
    4711,
    0,
    undefined,
    undefined,
    undefined,
  ]);
  expect([groupName(text, 4711), groupName(text, 5)]).toEqual(['floe', undefined]);
});

describe('status', () => {
  it('tells what runs and what it waits for', () => {
    expect(statusText(STATUS, time)).toBe(
      [
        'host        ada',
        'state       DEFERRED: the new system waits, since today 13:00',
        'because     the battery is at 20 % (ON_BATTERY)',
        'later       2 × left (floe-agent later)',
        `desired     ${AFTER}`,
        `commit      ${'c'.repeat(40)}`,
        `running     ${BEFORE}`,
        `its commit  ${'b'.repeat(40)}`,
        `next boot   ${BEFORE} (generation 41)`,
        'server      https://floe.example.org, connected since today 09:00',
        'agent       0.1.0',
        '',
      ].join('\n'),
    );
  });

  it('tells why, who changed it by hand, and what was rolled back', () => {
    const text = statusText(
      {
        ...STATUS,
        state: 'ROLLED_BACK',
        detail: { code: 'UNITS_FAILED', message: 'sshd.service failed' },
        waiting: null,
        quarantined: [AFTER],
        override: { toplevel: BEFORE, since: NOW, by: 'switch' },
        server: { ...STATUS.server, connected: false, since: null },
      },
      time,
    );
    expect(text).toContain('because      sshd.service failed (UNITS_FAILED)\n');
    expect(text).toContain('by hand      a user chose another system by a switch today 14:05; "floe-agent resume" follows the fleet again\n');
    expect(text).toContain(`quarantined  ${AFTER}\n`);
    expect(text).toContain('https://floe.example.org, not connected\n');
    expect(text).not.toContain('later');
  });

  it('tells administrators who answers in place of the server', () => {
    const server = { ...STATUS.server, connected: false, since: null, stranger: 'a captive portal answered' };
    expect(statusText({ ...STATUS, server }, time)).toContain('https://floe.example.org, not connected: a captive portal answered\n');
  });

  it('says the same to people in words of their own, without paths and codes', () => {
    expect(peopleStatus(STATUS, time)).toBe(
      [
        'Your computer will update when it is plugged in or charged enough. It does so on Wednesday at 13:00 at the latest.',
        'To put it off: floe-agent later (2 times more).',
        'To begin at once: floe-agent now.',
        'It is connected to its server (since today at 09:00).',
        'floe-agent status --verbose shows the details.',
        '',
      ].join('\n'),
    );
    const window = { what: 'switch' as const, codes: ['WINDOW_CLOSED'], startsAt: Date.UTC(2026, 2, 1, 21), latestAt: null, programs: [] };
    const waiting = { code: 'WINDOW_CLOSED', message: 'waits for the maintenance window', until: null };
    expect(peopleStatus({ ...STATUS, waiting, detail: waiting, wait: window, laterLeft: 1 }, time)).toMatch(
      /^Your computer will update tonight at 22:00\.\nTo put it off: floe-agent later \(once more\)\.\n/,
    );
  });

  it.each([
    [
      'who chose another version',
      { state: 'IDLE', waiting: null, wait: null, override: { toplevel: BEFORE, since: NOW, by: 'rollback' } },
      'Somebody had this computer go back to an earlier version today at 14:05. It stays so until "floe-agent resume", or a newer update.',
    ],
    [
      'that an administrator asks',
      { urgent: { level: 'now', by: 'ada', reason: 'a hole in sshd', until: NOW } },
      'Your administrator asks for it now (ada: a hole in sshd).',
    ],
    ['that it cannot be put off', { laterLeft: 0 }, 'It cannot be put off any more.'],
    [
      'what is tried',
      { state: 'TRYING', waiting: null, wait: null, trial: { endsAt: NOW + 3600_000 } },
      'Your computer tries an update, and goes back by itself today at 15:05.',
    ],
    [
      'that it went back',
      { state: 'ROLLED_BACK', waiting: null, wait: null, quarantined: [AFTER] },
      'An update did not work, and your computer went back to how it was before.',
    ],
    ['that there is no connection', { server: { ...STATUS.server, connected: false, since: null } }, 'It is not connected to its server.'],
    [
      'that others answer in its network',
      { server: { ...STATUS.server, connected: false, since: null, stranger: 'a captive portal answered' } },
      'It is not connected to its server. This network does not lead there: if it has a login page, please log in.',
    ],
  ] as const)('says %s', (_what, changes, words) => {
    const text = peopleStatus({ ...STATUS, ...changes, quarantined: [AFTER] }, time);
    expect(text).toContain(words);
    expect(text).not.toMatch(/\/nix|[A-Z]{2,}_/);
  });

  it('cannot steer the terminal, and keeps the lines of a message together', () => {
    expect(table([['because', '\x1b[2Jfirst\nsecond\x07\u009b1m\n']])).toBe('because  first\n         second\ufffd\n');
  });
});

describe('changes', () => {
  it('have no store paths for people', () => {
    const text = changesText(CHANGES, { ...ENGLISH, isVerbose: false });
    expect(text).toMatch(/^What the update would change\n\n  firefox /);
    expect(text).not.toContain('/nix');
  });
  it('are in the language of the reader', () => {
    expect(changesText(CHANGES, { ...languageOf({ LANG: 'de_AT.UTF-8' }), isVerbose: true })).toContain(`\n  von ${BEFORE}\n  zu  ${AFTER}\n`);
  });
  it('are a table', () => {
    expect(changesText(CHANGES, { ...ENGLISH, isVerbose: true })).toBe(
      [
        'What the update would change',
        `  from ${BEFORE}`,
        `  to   ${AFTER}`,
        '',
        '  firefox  130.0 → 131.0    +3.1 MB',
        '  htop     added 3.3.0    +400.0 kB',
        '  nano     removed 8.0      -2.2 MB',
        '  openssl  3.0.14          +70.0 kB',
        '',
        '2 changed, 1 added, 1 removed, 214 rebuilt in the same version. 4.1 GB → 4.1 GB (+1.4 MB)',
        '',
      ].join('\n'),
    );
  });

  it('of nothing are said in a line', () => {
    const none = {
      ...CHANGES,
      subject: 'last' as const,
      packages: [],
      addedCount: 0,
      removedCount: 0,
      rebuiltCount: 0,
      sizeAfterBytes: 4_100_000_000,
    };
    expect(changesText({ ...none, after: '/nix/store/x' as StorePath }, { ...ENGLISH, isVerbose: true })).toContain(
      '\n\nthe same programs. 4.1 GB → 4.1 GB (+0.0 kB)\n',
    );
  });
});
