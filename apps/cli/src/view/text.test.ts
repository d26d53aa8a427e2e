import { expect, test } from 'vitest';
import { harmless, formatTable, plainStyle } from './terminal.ts';
import { nixString } from './enrolment.ts';

test('text from elsewhere cannot steer the terminal', () => {
  expect(harmless('a\u001b[31mred\u009b2J\u202eb\r\nc')).toBe('a\ufffd[31mred\ufffd2J\ufffdb\nc');
});

test('the last column of a table is cut to the width of the terminal, and nothing without one', () => {
  const rows = [[{ text: 'ws1' }, { text: 'x'.repeat(60) }]];
  expect(formatTable(['A', 'B'], rows, { style: plainStyle, columns: 40 }).split('\n')).toEqual(['A    B', `ws1  ${'x'.repeat(34)}…`]);
  expect(formatTable(['A', 'B'], rows, { style: plainStyle, columns: undefined }).split('\n')[1]).toHaveLength(65);
});

test('a Nix string holds what it was given', () => {
  expect(nixString('a"b\\c${d}')).toBe('"a\\"b\\\\c\\${d}"');
});
