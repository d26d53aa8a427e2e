import { describe, expect, test } from 'vitest';
import { DEFAULT_SHRINK, isSuspiciousShrink } from './shrink.ts';

describe('a host list that shrank', () => {
  test.each([
    [0, 0, false],
    [3, 0, true],
    [3, 1, false],
    [4, 2, false],
    [4, 1, true],
    [1000, 499, true],
    [1000, 500, false],
  ])('from %i to %i hosts: suspicious is %s', (known, present, expected) => {
    expect(isSuspiciousShrink(known, present, DEFAULT_SHRINK)).toBe(expected);
  });

  test.each([
    [{ percent: 10, hosts: 2 }, 100, 90, false],
    [{ percent: 10, hosts: 2 }, 100, 89, true],
    [{ percent: 10, hosts: 2 }, 5, 4, false],
    [{ percent: 0, hosts: 1 }, 100, 99, true],
    [{ percent: 100, hosts: 1 }, 100, 1, false],
    [{ percent: 100, hosts: 1 }, 100, 0, true],
    [{ percent: 0, hosts: 1 }, 3, 4, false],
  ])('with the limit %o from %i to %i hosts: suspicious is %s', (limit, known, present, expected) => {
    expect(isSuspiciousShrink(known, present, limit)).toBe(expected);
  });
});
