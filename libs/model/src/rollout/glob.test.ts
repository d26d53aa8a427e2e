import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isGlob, matchesGlob } from './glob.ts';

test.each([
  ['ws*', 'ws', true],
  ['ws*', 'ws12', true],
  ['ws*', 'aws', false],
  ['ws?', 'ws1', true],
  ['ws?', 'ws', false],
  ['ws?', 'ws12', false],
  ['*.example.org', 'mail.example.org', true],
  ['*.example.org', 'mail.example.org.uk', false],
  ['*a*b*', 'xxaxxbxx', true],
  ['*ab', 'aab', true],
  ['ws.1', 'wsx1', false],
  ['[a-z]', 'b', false],
  ['*', '', true],
  ['', '', true],
  ['', 'a', false],
])('%s matches %s: %s', (pattern, text, isMatch) => {
  expect(matchesGlob(pattern, text)).toBe(isMatch);
});

test('a glob matches as the regular expression of the same meaning', () => {
  const letters = fc.string({ unit: fc.constantFrom('a', 'b', '.'), maxLength: 8 });
  const patterns = fc.string({ unit: fc.constantFrom('a', 'b', '.', '*', '?'), maxLength: 8 });
  fc.assert(
    fc.property(patterns, letters, (pattern, text) => {
      const expression = new RegExp(`^${pattern.replaceAll('.', '\\.').replaceAll('*', '.*').replaceAll('?', '.')}$`);
      expect(matchesGlob(pattern, text)).toBe(expression.test(text));
      if (!isGlob(pattern)) expect(matchesGlob(pattern, text)).toBe(pattern === text);
    }),
    { numRuns: 1000 },
  );
});

test('a pattern made to be slow takes no time', () => {
  const text = 'a'.repeat(5000);
  const start = performance.now();
  expect(matchesGlob('*a'.repeat(500) + 'b', text)).toBe(false);
  expect(performance.now() - start).toBeLessThan(2000);
});
