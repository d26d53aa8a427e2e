import { describe, expect, test } from 'vitest';
import { ago, duration, firstLine, percent, shortHash, words } from './text.ts';
import { StorePath } from '@floe/protocol';
import * as v from 'valibot';
import { storePath } from '../test/fixtures.ts';
import { harmless, formatTable, plainStyle } from './terminal.ts';
import { nixString } from './enrolment.ts';

const NOW = 1_000_000_000;
const MINUTE = 60_000;

describe('times', () => {
  test.each([
    [-5_000, 'just now'], [1_999, 'just now'], [2_000, '2 s ago'], [59_999, '59 s ago'], [MINUTE, '1 min ago'], [59 * MINUTE, '59 min ago'],
    [60 * MINUTE, '1 h ago'], [47 * 60 * MINUTE, '47 h ago'], [48 * 60 * MINUTE, '2 d ago'],
  ])('%d ms before now reads "%s"', (passed, text) => expect(ago(NOW - passed, NOW)).toBe(text));

  test.each([
    [0, '0 ms'], [340.4, '340 ms'], [2_140, '2.1 s'], [9_949, '9.9 s'], [9_960, '10 s'], [59_400, '59 s'], [59_600, '1 min 0 s'],
    [192_000, '3 min 12 s'], [2 * 3_600_000 + 5 * MINUTE, '2 h 5 min'], [75 * 3_600_000, '3 d 3 h'],
  ])('%d ms take "%s"', (ms, text) => expect(duration(ms)).toBe(text));
});

test('store paths, states and errors are shortened', () => {
  expect(shortHash(v.parse(StorePath, storePath('aaaaaaaa')))).toBe('aaaaaaaa');
  expect([words('ROLLED_BACK'), words('in-sync')]).toEqual(['rolled back', 'in sync']);
  expect(firstLine('\n error: one \n two')).toBe('error: one');
  expect([percent({ doneBytes: 5, expectedBytes: 0 }), percent({ doneBytes: 999, expectedBytes: 1000 }), percent({ doneBytes: 9, expectedBytes: 8 })]).toEqual([undefined, 99, 100]);
});

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
