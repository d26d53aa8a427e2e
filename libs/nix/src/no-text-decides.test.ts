import { glob, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { textSearches } from './test/text-searches.ts';

// The messages of a failed program are written by repositories, hosts and caches. Code that searches in them lets them decide.
// (Standard output is an answer, and is parsed.)

const ROOT = join(import.meta.dirname, '../../..');

/** Files where such a search decides nothing about anybody, and why. */
const ALLOWED: Readonly<Record<string, string>> = {
  'apps/agent/src/server/other-answer.ts': 'only for people: ws and Node tell the status of a refused upgrade in a message alone',
  'libs/git/src/ssh-errors.ts':
    'ssh has one status for all that goes wrong: a git server can choose what its own failure is called, and gets nothing by it',
  'libs/nix/src/failure.ts': 'only for people: leaves out a sentence that has no information of its own',
  'libs/nix/src/internal-json.ts': 'the format itself: the prefix that Nix adds to a text, which no repository can suppress',
  'libs/views/src/rollout-words.ts': 'only for people: leaves out a log that the reason quotes whole',
};

test('no code searches in the messages of programs or clients', async () => {
  const found: string[] = [];
  const allowed = new Set<string>();
  for await (const path of glob('{libs,apps}/*/src/**/*.{ts,tsx}', { cwd: ROOT })) {
    if (path.includes('.test.') || path.includes('/test/') || path.startsWith('libs/testkit/')) continue;
    const searches = textSearches(await readFile(join(ROOT, path), 'utf8'));
    if (path in ALLOWED && searches.length > 0) allowed.add(path);
    else found.push(...searches.map((statement) => `${path}: ${statement}`));
  }
  expect(found).toEqual([]);
  expect([...allowed].toSorted(), 'the files that need the exception').toEqual(Object.keys(ALLOWED).toSorted());
});

test.each([
  'log.messages.some(({ text }) => /SQLite/i.test(text));',
  "first.log.messages.some(({ text }) => text.includes('program'));",
  "if (error.message.includes('ECONNREFUSED')) return;",
  'if (/full/.test(result.stderr)) return;',
  "if (isFloeError(error) && error.message.startsWith('no')) return;",
  "const said = error.message;\nif (said.includes('full')) return;",
  'const reason = explain(log, result);\nif ([reason, ...log.plainLines].some((text) => UNTRUSTED.test(text))) throw x;',
  'const said = log.plainLines\n  .slice(-3);\nif (said.some((line) => FULL.test(line))) throw x;',
  "const { stderr, exitCode } = await exec(file, args, options);\nif (exitCode !== 0 && stderr.includes('No space')) throw x;",
  'if (PATTERN.exec(result.stderr) !== null) return;',
  'const [, name] = /x (.*)/.exec(describeError(error)) ?? [];',
  'switch (true) { case cause?.message?.match(/gone/): break; }',
])('the search for it finds %j', (source) => {
  expect(textSearches(source)).not.toEqual([]);
});

test.each([
  "logger.warn('failed', { why: result.stderr.slice(-500) });",
  "const lines = result.stdout.split('\\n').filter((line) => line.includes('x'));",
  'throw new FloeError(code, error.message, { cause });',
  "if (error.code === 'ENOENT' && path.startsWith('/nix')) return;",
])('the search ignores %j', (source) => {
  expect(textSearches(source)).toEqual([]);
});
