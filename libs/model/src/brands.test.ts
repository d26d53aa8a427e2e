import fc from 'fast-check';
import { expect, test } from 'vitest';
import { HOST_NAME_FORM } from './brands.ts';

const letter = fc.constantFrom('a', 'b', 'X', 'Z', '0', '9');
const inner = fc.constantFrom('a', 'b', 'X', 'Z', '0', '9', '-', '_');
const label = fc.tuple(letter, fc.array(inner, { maxLength: 61 }), letter).map(([first, middle, last]) => `${first}${middle.join('')}${last}`);

test('a host may have any name that DNS allows', () => {
  fc.assert(
    fc.property(fc.array(label, { minLength: 1, maxLength: 3 }), (labels) => {
      expect(HOST_NAME_FORM.test(labels.join('.'))).toBe(true);
    }),
  );
  expect(['web.example.org', 'constructor', 'toString', 'a'.repeat(63)].every((name) => HOST_NAME_FORM.test(name))).toBe(true);
  expect(HOST_NAME_FORM.test(`${`${'a'.repeat(49)}.`.repeat(5)}com`)).toBe(true);
});

test('a name that escapes a folder or a quotation, or that DNS does not allow, is refused', () => {
  const bad = [
    '',
    '.',
    '..',
    'a..b',
    '.a',
    'a.',
    '-a',
    'a-',
    '_a',
    'a/b',
    '../a',
    'a\\b',
    'a b',
    'a"b',
    'a$b',
    'a\0',
    'a\n',
    'ä',
    'a'.repeat(64),
    'a.'.repeat(127),
    `${'a.'.repeat(127)}aa`,
  ];
  expect(bad.filter((name) => HOST_NAME_FORM.test(name))).toEqual([]);
  fc.assert(
    fc.property(fc.string(), (name) => {
      if (HOST_NAME_FORM.test(name)) expect(name).toMatch(/^[A-Za-z0-9._-]+$/);
    }),
  );
});
