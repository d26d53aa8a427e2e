import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');
const DOCS = ['README.md', 'CONTRIBUTING.md', 'libs/model/SPEC.md', ...globSync('docs/*.md', { cwd: ROOT })];
/** A path from the root of the repository, in backticks; braces and `*` stand for several. */
const PATH = /`((?:apps|libs|tests|scripts|nix|docs|examples|bench|migrations)\/[^`\s]*)`/g;

describe('the docs', () => {
  it('name files that exist', () => {
    const named = DOCS.flatMap((doc) => [...readFileSync(join(ROOT, doc), 'utf8').matchAll(PATH)].map(([, path = '']) => ({ doc, path })));
    expect(named.length).toBeGreaterThan(100);
    // NAME stands for a name that the reader chooses; `nix/fleet` is a folder of the example in its sentence.
    const missing = named.filter(({ path }) => !path.includes('NAME') && path !== 'nix/fleet' && globSync(path, { cwd: ROOT }).length === 0);
    expect(missing.map(({ doc, path }) => `${doc}: ${path}`)).toEqual([]);
  });
});
