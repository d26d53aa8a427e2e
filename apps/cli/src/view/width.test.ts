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
