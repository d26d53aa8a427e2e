import { expect, test } from 'vitest';
import { duration, parseDuration, timeLimit } from './duration.ts';

test.each([
  [340, '340 ms', '340 ms'],
  [2_140, '2.1 s', '2.1 s'],
  [3_000, '3.0 s', '3 s'],
  [10_000, '10 s', '10 s'],
  [59_700, '1 min 0 s', '1 min'],
  [192_000, '3 min 12 s', '3 min 12 s'],
  [900_000, '15 min 0 s', '15 min'],
  [5_400_000, '1 h 30 min', '1 h 30 min'],
  [7_500_000, '2 h 5 min', '2 h 5 min'],
  [72 * 3_600_000, '3 d 0 h', '3 d'],
  [75 * 3_600_000, '3 d 3 h', '3 d 3 h'],
])('%i ms took %s, and as a limit are %s', (ms, took, limit) => {
  expect([duration(ms), timeLimit(ms)]).toEqual([took, limit]);
});

test.each([
  ['0s', 0],
  ['45s', 45_000],
  ['30m', 1_800_000],
  ['1h30m', 5_400_000],
  ['7d', 7 * 86_400_000],
  ['', undefined],
  ['30', undefined],
  ['1.5h', undefined],
  ['-1h', undefined],
  ['2 h', undefined],
  ['2w', undefined],
  ['123456m', undefined],
])('a person who writes "%s" means %s ms', (text, ms) => {
  expect(parseDuration(text)).toBe(ms);
});
