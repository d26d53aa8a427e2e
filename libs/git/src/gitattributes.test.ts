import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readFilters } from './gitattributes.ts';

const rules = (pattern: string, count = 1_000): readonly { folder: string; text: string }[] => [
  { folder: '', text: Array.from({ length: count }, () => `${pattern} filter=x`).join('\n') },
];

describe('the patterns of .gitattributes', () => {
  it.for([
    ['stars across names', `/**${`${'a'.repeat(40)}/`.repeat(12)}?b`, Array.from({ length: 99 }, () => 'a'.repeat(40)).join('/')],
    ['a star in a name', `*${'a'.repeat(120)}b`, 'a'.repeat(255)],
    ['many stars', `${'*a'.repeat(200)}b`, 'a'.repeat(4_000)],
  ] as const)('have one bound of work for all paths of a commit: %s', { timeout: 20_000 }, ([, pattern, path]) => {
    const isFiltered = readFilters(rules(pattern));
    const started = process.cpuUsage();
    const answers = Array.from({ length: 200 }, () => isFiltered(path));
    expect(process.cpuUsage(started).user / 1e6).toBeLessThan(5);
    expect(answers.at(-1)).toBeUndefined();
  });

  it('have enough of it for a large repository', () => {
    const isFiltered = readFilters(rules('secrets/**/*.age', 50));
    for (let index = 0; index < 200; index += 1)
      expect(isFiltered(`hosts/site-${index}/secrets/some/folders/below/password-${index}.age`)).toBe(false);
    expect(isFiltered('secrets/x/y.age')).toBe(true);
  });

  it('never take more steps than that, whatever they are', () => {
    const text = fc.string({ unit: fc.constantFrom('*', '**/', '?', 'a', 'b', '/', '.'), maxLength: 400 });
    fc.assert(
      fc.property(text, text, (pattern, path) => {
        const isFiltered = readFilters(rules(pattern, 20));
        for (let index = 0; index < 5; index += 1) expect([true, false, undefined]).toContain(isFiltered(path));
      }),
    );
  });
});
