import fc from 'fast-check';
import { expect, it } from 'vitest';
import { fitDescription } from './fit-description.ts';

it('a description is one line of at most 140 characters, whatever it is made from', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 400 }), (text) => {
      const description = fitDescription(text);
      expect([...description].length).toBeLessThanOrEqual(140);
      expect(description).not.toMatch(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/u);
    }),
  );
});

it('a cut description is marked, and no character is cut in two', () => {
  expect(fitDescription('x'.repeat(140))).toBe('x'.repeat(140));
  expect(fitDescription('x'.repeat(141))).toBe(`${'x'.repeat(139)}…`);
  expect(fitDescription('🧊'.repeat(200))).toBe(`${'🧊'.repeat(139)}…`);
  expect(fitDescription('a\n\n  b')).toBe('a b');
  expect(fitDescription('3 hosts \u202egnorw era\u2069')).toBe('3 hosts \ufffdgnorw era\ufffd');
});
