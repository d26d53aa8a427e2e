import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AGENT_STATES, type WaitFacts } from '@floe/model';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AFTER, STATUS } from '../test/fake-requests.ts';
import { NOTICE_TOPICS } from '../text/notice-about.ts';
import { noticeInWords } from '../text/notice-words.ts';
import { LANGUAGES, languageOf } from '../text/words/languages.ts';
import { lastStatus, peopleStatus } from './people-status.ts';

// What people read who administer nothing, whatever the agent knows.

const HOUR_MS = 3600_000;
const NOW = STATUS.since;

/** Each word that the agent's own sources write as a code: of details, reasons to wait, and refusals. */
async function codesOfSources(): Promise<string[]> {
  const folders = ['..', '../../../../libs/model/src', '../../../../libs/nix/src'].map((each) => join(import.meta.dirname, each));
  const found = new Set<string>();
  for (const folder of folders)
    for (const name of await readdir(folder, { recursive: true })) {
      if (!name.endsWith('.ts') || name.includes('.test.')) continue;
      for (const [, code = ''] of (await readFile(join(folder, name), 'utf8')).matchAll(/'([A-Z][A-Z0-9_]{3,})'/g)) found.add(code);
    }
  return [...found].toSorted();
}
const codes = await codesOfSources();

/** Words of administrators and of programs, which are quoted. Numbers, as no language has words like these. */
const [BY, REASON, PROGRAM] = ['71', '72', '73: 74'];
/** What only those know who know Floe. */
const OF_THE_TRADE =
  /\b(?:systems?|toplevel|generation|directive|release|commit|roll(?:ed)?|quarantine|stag(?:e|ed|ing)|defer|session|policy|idle|fleet|epoch|portal)\b/i;
/** Words that are in each English sentence, and in no German one. */
const ENGLISH_WORDS = /\b(?:the|your|it|is|of|and|update|computer's|when|has|at|to)\b/;
const GERMAN_WORDS = /\b(?:der|die|das|Ihr|Ihren|ist|und|wird|wenn|um|Uhr|Aktualisierung)\b/;
/** What people type stays as it is. */
const COMMANDS = /(?:sudo systemctl start )?floe-agent(?: (?:status --verbose|status|later|now|rollback|resume))?/g;

const someTime = fc.option(fc.integer({ min: NOW - 300 * HOUR_MS, max: NOW + 300 * HOUR_MS }));
const someCode = fc.constantFrom(...codes);
const someWait: fc.Arbitrary<WaitFacts> = fc.record({
  what: fc.constantFrom('download' as const, 'switch' as const, 'restart' as const),
  codes: fc.uniqueArray(fc.oneof(someCode, fc.constantFrom('ON_BATTERY', 'METERED', 'SESSION_ACTIVE', 'INHIBITED', 'LATER')), {
    minLength: 1,
    maxLength: 4,
  }),
  startsAt: someTime,
  latestAt: someTime,
  programs: fc.constantFrom([], [PROGRAM], [PROGRAM, PROGRAM]),
});
const someCase = fc.record({
  state: fc.constantFrom(...AGENT_STATES),
  code: fc.option(someCode),
  wait: fc.option(someWait),
  at: someTime,
  left: fc.integer({ min: 0, max: 3 }),
  topic: fc.constantFrom(...NOTICE_TOPICS),
  by: fc.option(fc.constantFrom('rollback', 'switch', 'boot', 'other')),
  isThere: fc.boolean(),
  timeZone: fc.constantFrom('UTC', 'Asia/Kathmandu', 'America/St_Johns'),
});
type Case = typeof someCase extends fc.Arbitrary<infer T> ? T : never;

function textsOf(each: Case, language: string): string[] {
  const { state, code, wait, at, left, topic, by, isThere, timeZone } = each;
  const reader = { now: NOW, timeZone, language: languageOf({ LANG: language }) };
  const asker = isThere ? { by: BY, reason: REASON } : null;
  const message = `${AFTER} was refused by the policy of this system (${'c'.repeat(40)})`;
  const detail = code === null ? null : { code, message };
  const status = {
    ...STATUS,
    state,
    detail,
    waiting: isThere && detail !== null ? { ...detail, until: at } : null,
    wait,
    laterLeft: left,
    trial: at === null ? null : { endsAt: at },
    urgent: asker === null ? null : { ...asker, level: 'now', until: NOW },
    override: by === null ? null : { toplevel: AFTER, since: NOW, by },
    quarantined: [AFTER],
    server: { url: 'https://floe.example.org', connected: isThere, since: at, stranger: isThere ? null : message, refusal: null },
  };
  const { title, body } = noticeInWords({ topic, state, code, wait, trialEndsAt: at, asker }, reader);
  return [peopleStatus(status, reader), lastStatus(state, code, at, reader), title, body];
}

test('the sources name codes', () => {
  expect(codes.length).toBeGreaterThan(150);
  expect(codes).toEqual(expect.arrayContaining(['WINDOW_CLOSED', 'HEALTH_CHECK_FAILED', 'CACHE_NOT_REACHED', 'INHIBITED']));
});

describe.each(Object.keys(LANGUAGES))('in the language %s', (language) => {
  test('nothing that people read has a store path, a commit, a code, a word of the trade, or a number that does not fit', () => {
    fc.assert(
      fc.property(someCase, (each) => {
        for (const text of textsOf(each, language).map((whole) => whole.replaceAll(COMMANDS, ''))) {
          expect(text).not.toMatch(/\/nix|[0-9a-f]{7}|[A-Z]{2,}|undefined|null|NaN|Invalid|[{}]/);
          expect(text).not.toMatch(OF_THE_TRADE);
          expect(text).not.toMatch(/ {2}|\.\.|(?<![\d:])[01] (?:minutes|hours|days|times|Minuten|Stunden|Tage)\b/);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  test('nothing that people read mixes languages', () => {
    fc.assert(
      fc.property(someCase, (each) => {
        for (const text of textsOf(each, language))
          expect(text.replaceAll(COMMANDS, '')).not.toMatch(language === 'de' ? ENGLISH_WORDS : GERMAN_WORDS);
      }),
      { numRuns: 1_000 },
    );
  });

  test('each time that people read is of their time zone', () => {
    fc.assert(
      fc.property(someCase, (each) => {
        const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', timeZone: each.timeZone });
        const known = [NOW, each.at, each.wait?.startsAt, each.wait?.latestAt, STATUS.server.since].flatMap((at) =>
          at == null ? [] : clock.format(at),
        );
        for (const text of textsOf(each, language)) for (const [time] of text.matchAll(/\d\d:\d\d/g)) expect(known).toContain(time);
      }),
      { numRuns: 1_000 },
    );
  });
});

test('a restart that has begun is not offered to be put off', () => {
  const detail = { code: 'RESTARTING', message: 'the policy of this machine allows it now' };
  const status = { ...STATUS, state: 'BOOT_STAGED' as const, detail, waiting: { ...detail, until: null }, wait: null };
  const text = peopleStatus(status, { now: NOW, timeZone: 'UTC', language: languageOf({}) });
  expect(text).toMatch(/^Your computer restarts now, to be updated\.\nIt is connected to its server/);
});
