import fc from 'fast-check';
import { expect, test } from 'vitest';
import { editDistance, nearest } from './nearest.ts';

test.each([
  ['', '', 0],
  ['ada', 'ada', 0],
  ['adda', 'ada', 1],
  ['daa', 'ada', 1],
  ['ws1', 'ws2', 1],
  ['kitten', 'sitting', 3],
  ['', 'abc', 3],
])('from "%s" to "%s" it takes %d', (a, b, distance) => expect(editDistance(a, b)).toBe(distance));

test('the distance is the same both ways, and 0 only between equals', () => {
  const name = fc.stringMatching(/^[a-c]{0,6}$/);
  fc.assert(
    fc.property(name, name, (a, b) => {
      expect(editDistance(a, b)).toBe(editDistance(b, a));
      expect(editDistance(a, b) === 0).toBe(a === b);
    }),
  );
});

test('the nearest names come first, and only a few', () => {
  expect(nearest('ws0101', ['ws0102', 'ws0001', 'server', 'ws0110', 'ws0011'])).toEqual(['ws0001', 'ws0011', 'ws0102']);
  expect(nearest('kitchen', ['kitchen-laptop', 'ada'])).toEqual(['kitchen-laptop']);
  expect(nearest('zebra', ['ada', 'bob'])).toEqual([]);
  expect(nearest('CYD', ['ada', 'cyd'])).toEqual(['cyd']);
});
