import fc from 'fast-check';
import { expect, test } from 'vitest';
import { cutToWidth, widthOf } from './width.ts';

test.each([
  ['ws1', 3],
  ['für', 3],
  ['fu\u0308r', 3],
  ['日本', 4],
  ['✓ ok', 4],
  ['🚀', 2],
  ['👩‍💻', 2],
  ['🇩🇪', 2],
  ['1️⃣', 2],
  ['한국', 4],
  ['ｶﾞ', 2],
  ['a\u200d', 1],
])('"%s" takes %d columns', (text, width) => expect(widthOf(text)).toBe(width));

test.each([
  ['abc', 3, 'abc'],
  ['abcd', 3, 'ab…'],
  ['日本語', 4, '日…'],
  ['日本語', 5, '日本…'],
  ['👩‍💻👩‍💻', 3, '👩‍💻…'],
])('"%s" cut to %d is "%s"', (text, width, cut) => {
  expect(cutToWidth(text, width)).toBe(cut);
});

test('what is cut fits, whatever it was, and what fits is not cut', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.integer({ min: 1, max: 30 }), (text, width) => {
      const cut = cutToWidth(text, width);
      expect(widthOf(cut)).toBeLessThanOrEqual(width);
      if (widthOf(text) <= width) expect(cut).toBe(text);
    }),
  );
});
