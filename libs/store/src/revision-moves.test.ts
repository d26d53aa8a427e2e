import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

test('the state of a revision is written in one place, by the table of libs/model', () => {
  const files = readdirSync(import.meta.dirname).filter((name) => name.endsWith('.ts') && !name.includes('.test.'));
  const writers = files.filter((name) => {
    const source = readFileSync(new URL(name, import.meta.url), 'utf8');
    return /update\(revisions\)\s*\.set\(\{[^}]*\bstate\b/.test(source) || /update revisions\b[^;]*\bstate\s*=/.test(source);
  });
  expect(writers).toEqual(['revision-moves.ts']);
});
