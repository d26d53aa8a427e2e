import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { oneLine, printable, printableLine, printableValue } from './printable.ts';

const NEVER =
  // oxlint-disable-next-line no-control-regex -- the test looks for these
  /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\u00ad\u180e\ufff9-\ufffb\u{e0000}-\u{e0020}\p{Noncharacter_Code_Point}\p{Surrogate}]/u;

const Hostile = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        '\u001b',
        '\u001b[',
        '\u009b',
        '31m',
        '\u001b]0;',
        '\u0007',
        '\u001b\\',
        '\u202e',
        '\u2066',
        '\u200b',
        '\u200d',
        '\u200c',
        '\ufe0f',
      ),
      fc.constantFrom(
        '\r\n',
        '\r',
        '\n',
        '\t',
        '\u2028',
        '\u0085',
        '\u000b',
        '\ud800',
        '\udc00',
        '\0',
        '\u0301',
        '\u20dd',
        '\u{e0041}',
        '\u{1f3f4}',
        '\ufeff',
      ),
      fc.constantFrom('word', 'é', 'שלום', 'ﷺ', '日本', '👩', '💻', ' ', 'x'.repeat(3000)),
      fc.string({ unit: 'binary', maxLength: 8 }),
    ),
    { maxLength: 40 },
  )
  .map((parts) => parts.join(''));

describe('text from elsewhere', () => {
  test('contains no control characters and no invisible characters', () => {
    fc.assert(
      fc.property(Hostile, (text) => {
        const shown = printable(text);
        expect(shown).not.toMatch(NEVER);
        expect(shown.isWellFormed()).toBe(true);
        expect(shown).not.toMatch(/\p{M}{7}/u);
        expect(Math.max(0, ...shown.split(/\s/).map((word) => word.length))).toBeLessThanOrEqual(2048);
        expect(printable(shown)).toBe(shown);
        expect(printableLine(text)).not.toContain('\n');
        expect(oneLine(text)).not.toMatch(/\s\s|\n/);
      }),
      { numRuns: 500 },
    );
  });

  test.each([
    ['Nix’s colours', '\u001b[31;1merror:\u001b[0m no', 'error: no'],
    ['a window’s title', 'a\u001b]0;title\u0007b\u009d8;;http://x\u009cc', 'abc'],
    ['a sequence that a removed one would complete', '\u001b\u001b[0m[31m', '\ufffd[31m'],
    ['the beginning of a sequence', 'a\u001b[31', 'a\ufffd[31'],
    ['a line that overwrites the one before', 'all is well\rbad', 'all is well\ufffdbad'],
    ['separators of lines', 'a\u2028b\u0085c\u000bd\r\ne', 'a\nb\nc\nd\ne'],
    ['an override', 'a\u202eb', 'a\ufffdb'],
    ['names that only look the same', 'w\u200bs\u00ad1\u2060', 'ws1'],
    ['text in tags', 'a\u{e0069}\u{e0067}', 'a'],
    ['a stack of marks', `z${'\u0301'.repeat(50)}x`, `z${'\u0301'.repeat(6)}x`],
    ['a mark at the beginning, which would combine with text before it', '\u0338not', '\u25cc\u0338not'],
    ['half a character', 'a\ud83d', 'a\ufffd'],
  ])('%s', (_name, text, shown) => expect(printable(text)).toBe(shown));

  test.each([
    'Größe für Łódź, Đà Nẵng',
    'שָׁלוֹם עֲלֵיכֶם',
    'می‌خواهم بروم',
    'مُحَمَّد',
    'क्‍ष',
    '葛\u{e0100}城市',
    '日本語　テスト',
    '👩‍💻 👨‍👩‍👧‍👦 👍🏽 ❤️ 1️⃣ 🇩🇪 🏴󠁧󠁢󠁥󠁮󠁧󠁿',
    'rebuild\n  indented',
  ])('ordinary text in any language stays unchanged: %s', (text) => expect(printable(text)).toBe(text));

  test('takes time that grows linearly with its length', () => {
    const worst = ['\u001b]0', '\u001b[0', '\u{1f3f4}\u{e0061}', 'e\u0301', '\u200d', `${'é'.repeat(2047)} `, 'x'];
    for (const piece of worst) {
      const text = piece.repeat(Math.ceil(200_000 / piece.length));
      const startedAt = performance.now();
      printable(text);
      expect(performance.now() - startedAt, JSON.stringify(piece).slice(0, 20)).toBeLessThan(2_000);
    }
  });

  test('is applied to a whole answer, at any depth', () => {
    expect(printableValue({ hosts: [{ host: 'ws1', problem: 'a\u202eb', since: 1, done: null }] })).toEqual({
      hosts: [{ host: 'ws1', problem: 'a\ufffdb', since: 1, done: null }],
    });
    expect(Object.hasOwn(printableValue(JSON.parse('{"__proto__":{"x":"\\u202e"}}') as object), '__proto__')).toBe(true);
  });
});
