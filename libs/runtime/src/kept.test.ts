import { expect, test } from 'vitest';
import { kept } from './kept.ts';

test('the same question is answered once, and what is kept has a bound', () => {
  const asked: number[] = [];
  const double = kept(
    (of: { readonly value: number }) => {
      asked.push(of.value);
      return { twice: 2 * of.value };
    },
    ({ value }) => value,
  );
  expect(double({ value: 1 })).toBe(double({ value: 1 }));
  expect(asked).toEqual([1]);
  for (let value = 2; value <= 1_001; value += 1) expect(double({ value })).toEqual({ twice: 2 * value });
  // Made room for the last one.
  expect(double({ value: 1 })).toEqual({ twice: 2 });
  expect(asked.filter((value) => value === 1)).toHaveLength(2);
});

test('a question that cannot be answered is asked again', () => {
  let isThere = false;
  const find = kept((name: string) => {
    if (!isThere) throw new Error(`no ${name}`);
    return name;
  });
  expect(() => find('a')).toThrow('no a');
  isThere = true;
  expect(find('a')).toBe('a');
});
