import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { execInTest } from '@floe/runtime';
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
  ] as const)('share one limit of steps for all paths of a commit: %s', { timeout: 20_000 }, ([, pattern, path]) => {
    const isFiltered = readFilters(rules(pattern));
    const started = process.cpuUsage();
    const answers = Array.from({ length: 200 }, () => isFiltered(path));
    expect(process.cpuUsage(started).user / 1e6).toBeLessThan(5);
    expect(answers.at(-1)).toBeUndefined();
  });

  it('stay below the limit in a large repository', () => {
    const isFiltered = readFilters(rules('secrets/**/*.age', 50));
    for (let index = 0; index < 200; index += 1)
      expect(isFiltered(`hosts/site-${index}/secrets/some/folders/below/password-${index}.age`)).toBe(false);
    expect(isFiltered('secrets/x/y.age')).toBe(true);
  });

  it('match the same paths as git', async () => {
    const segment = fc.string({ unit: fc.constantFrom('a', 'b', '*', '?'), minLength: 1, maxLength: 4 }).map((text) => text.replaceAll(/\*+/g, '*'));
    const pattern = fc.tuple(
      fc.constantFrom('', '/'),
      fc.array(fc.oneof({ arbitrary: segment, weight: 4 }, fc.constant('**')), { minLength: 1, maxLength: 4 }),
    );
    const name = fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1, maxLength: 4 });
    const patterns = fc.sample(
      pattern.map(([start, segments]) => start + segments.join('/')),
      { numRuns: 150 },
    );
    const paths = fc.sample(
      fc.array(name, { minLength: 1, maxLength: 4 }).map((names) => names.join('/')),
      { numRuns: 150 },
    );
    const dir = await mkdtemp(join(tmpdir(), 'floe-attributes-'));
    try {
      await execInTest('git', ['init', '--quiet', dir], {});
      await writeFile(join(dir, '.gitattributes'), patterns.map((each, index) => `${each} p${index}\n`).join(''));
      const { stdout } = await execInTest('git', ['-C', dir, 'check-attr', '--all', '--', ...new Set(paths)], {});
      const said = new Set(stdout.trim().split('\n'));
      for (const [index, each] of patterns.entries()) {
        const isFiltered = readFilters(rules(each, 1));
        for (const path of paths) expect(isFiltered(path), `${each} and ${path}`).toBe(said.has(`${path}: p${index}: set`));
      }
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  });
});
