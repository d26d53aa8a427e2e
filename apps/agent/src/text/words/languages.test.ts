import { AGENT_STATES, type WaitFacts } from '@floe/model';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { changesText } from '../../commands/changes-text.ts';
import { lastStatus, peopleStatus } from '../../commands/people-status.ts';
import { NOTICE_TOPICS } from '../notice-about.ts';
import { CHANGES, STATUS } from '../../test/fake-requests.ts';
import { buttonFor, noticeInWords } from '../notice-words.ts';
import type { Words } from './en.ts';
import { ENGLISH, fill, LANGUAGES, languageOf } from './languages.ts';

type Tree = { readonly [key: string]: string | Tree };

/** Each text by its path. */
function textsOf(tree: Tree, path = ''): Map<string, string> {
  return new Map(
    Object.entries(tree).flatMap(([key, each]): [string, string][] =>
      typeof each === 'string' ? [[`${path}${key}`, each]] : [...textsOf(each, `${path}${key}.`)],
    ),
  );
}
const places = (text: string): string[] => [...text.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name).toSorted();
const english = textsOf(ENGLISH.words);

describe.each(Object.entries(LANGUAGES).filter(([name]) => name !== 'en'))('%s', (_name, words) => {
  const texts = textsOf(words);

  test('has each text, and no other', () => {
    expect([...texts.keys()].toSorted()).toEqual([...english.keys()].toSorted());
  });

  test('fills in the same places', () => {
    for (const [path, text] of english) {
      // Which form of a time a sentence takes is a matter of the language.
      const known = new Set([...places(text), ...(/\{(?:at|from)\}/.test(text) ? ['at', 'from'] : [])]);
      const own = places(texts.get(path) ?? '');
      expect(
        own.filter((each) => !known.has(each)),
        path,
      ).toEqual([]);
      expect(own.length, path).toBe(places(text).length);
    }
  });

  test('translates all but signs', () => {
    for (const [path, text] of english) if (/[a-z]{2}/.test(text.replaceAll(/\{\w+\}/g, ''))) expect(texts.get(path), path).not.toBe(text);
  });
});

/** A language without letters: whatever has letters in the end comes from somewhere else. */
function withoutLetters<T extends Tree>(tree: T): T {
  return Object.fromEntries(
    Object.entries(tree).map(([key, each]) => [
      key,
      typeof each === 'string' ? each.replaceAll(/\{\w+\}|[^\s{}]/g, (found) => (found.startsWith('{') ? found : '#')) : withoutLetters(each),
    ]),
  ) as T;
}

test('no text for people is outside of the files of the languages', () => {
  // Numbers for the days and months, too.
  const reader = { now: STATUS.since, timeZone: 'UTC', language: { words: withoutLetters<Words>(ENGLISH.words), formats: 'zh-CN' } };
  const codes = [
    'WINDOW_CLOSED',
    'LATER',
    'ON_BATTERY',
    'METERED',
    'SESSION_ACTIVE',
    'INHIBITED',
    'NO_WINDOWS',
    'REBOOT_LEFT_TO_PEOPLE',
    'RESTARTING',
  ];
  const someTime = fc.option(fc.integer({ min: STATUS.since - 1e9, max: STATUS.since + 1e9 }));
  const someWait: fc.Arbitrary<WaitFacts> = fc.record({
    what: fc.constantFrom('download' as const, 'switch' as const, 'restart' as const),
    codes: fc.subarray(codes, { minLength: 1 }),
    startsAt: someTime,
    latestAt: someTime,
    programs: fc.constantFrom([], ['1']),
  });
  const someCase = fc.record({
    state: fc.constantFrom(...AGENT_STATES),
    code: fc.option(fc.constantFrom(...codes, 'DISK_FULL', 'TRIAL_OVER', 'UNKNOWN')),
    wait: fc.option(someWait),
    at: someTime,
    count: fc.integer({ min: 0, max: 3 }),
    topic: fc.constantFrom(...NOTICE_TOPICS),
    by: fc.option(fc.constantFrom('rollback', 'switch', 'boot', 'other')),
    action: fc.constantFrom('later' as const, 'now' as const, 'rollback' as const),
    isThere: fc.boolean(),
  });
  fc.assert(
    fc.property(someCase, ({ state, code, wait, at, count, topic, by, action, isThere }) => {
      const asker = isThere ? { by: '1', reason: '2' } : null;
      const detail = code === null ? null : { code, message: '' };
      const about = { topic, state, code, wait, trialEndsAt: at, asker };
      const { title, body } = noticeInWords(about, reader);
      const status = peopleStatus(
        {
          ...STATUS,
          state,
          detail,
          waiting: isThere && detail !== null ? { ...detail, until: null } : null,
          wait,
          laterLeft: count,
          trial: at === null ? null : { endsAt: at },
          urgent: asker === null ? null : { ...asker, level: '1', until: 0 },
          override: by === null ? null : { toplevel: null, since: STATUS.since, by },
          server: { url: '', connected: isThere, since: at, stranger: isThere ? null : '', refusal: isThere ? { code: '3', message: '' } : null },
        },
        reader,
      );
      const subject = (['next', 'last', 'between'] as const)[count % 3] ?? 'next';
      const packages = [{ name: '1', before: isThere ? ['1'] : [], after: count > 0 ? ['2', ''] : [], sizeDeltaBytes: 0 }];
      const changes = changesText({ ...CHANGES, subject, packages, addedCount: count, removedCount: 0 }, { ...reader.language, isVerbose: false });
      const last = lastStatus(state, code, at, reader);
      const units = /\b[kMGT]B\b/g;
      for (const text of [title, body, status, last, buttonFor(action, about, reader.language.words), changes.replaceAll(units, '')])
        expect(text).not.toMatch(/[A-Za-z]/);
    }),
  );
});

test.each([
  [{}, 'en', 'en-GB'],
  [{ LANG: 'C.UTF-8' }, 'en', 'en-GB'],
  [{ LANG: 'de_DE.UTF-8' }, 'de', 'de-DE'],
  [{ LANG: 'de' }, 'de', 'de'],
  [{ LANG: 'de_AT@euro' }, 'de', 'de-AT'],
  [{ LANG: 'en_US.UTF-8' }, 'en', 'en-US'],
  [{ LANG: 'en_US.UTF-8', LC_TIME: 'de_DE.UTF-8' }, 'en', 'en-DE'],
  [{ LANG: 'en_US.UTF-8', LC_MESSAGES: 'de_DE.UTF-8' }, 'de', 'de-US'],
  [{ LANG: 'de_DE.UTF-8', LC_ALL: 'C' }, 'en', 'en-GB'],
  [{ LANG: 'de_DE.UTF-8', LC_ALL: '' }, 'de', 'de-DE'],
  [{ LANG: 'fr_FR.UTF-8', LANGUAGE: 'fr:de:en' }, 'de', 'de-FR'],
  [{ LANG: 'C', LANGUAGE: 'de' }, 'en', 'en-GB'],
  [{ LANG: 'fr_FR.UTF-8' }, 'en', 'en-GB'],
  [{ LANG: 'constructor' }, 'en', 'en-GB'],
  [{ LANG: '../../de' }, 'en', 'en-GB'],
])('%j reads %s, with times as in %s', (env, name, formats) => {
  const language = languageOf(env);
  expect(language).toEqual({ words: LANGUAGES[name], formats });
  expect(() => new Intl.DateTimeFormat(language.formats)).not.toThrow();
});

test('what is filled in is not read again', () => {
  expect(fill('{a} {b} {c}', { a: '{b}', b: 'constructor' })).toBe('{b} constructor {c}');
});
