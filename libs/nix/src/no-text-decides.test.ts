import { glob, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { textSearches } from './test/text-searches.ts';

// A repository, a host and a cache write what a failed program says. Whoever searches in it lets them decide. (Standard
// output is an answer, and is read by its form.)

const ROOT = join(import.meta.dirname, '../../..');

/** Where it is no decision about anybody, and why. */
const ALLOWED: Readonly<Record<string, string>> = {
  'libs/nix/src/failure.ts': 'only what people read: a sentence that says nothing by itself is left out',
  'libs/nix/src/internal-json.ts': 'the format itself: what Nix puts before a text, which no repository can leave out',
  'apps/agent/src/when/judge.ts': 'a text that the agent itself made',
};

test('nothing is decided by searching in what a program or a stranger said', async () => {
  const found: string[] = [];
  const allowed = new Set<string>();
  for await (const path of glob('{libs,apps}/*/src/**/*.{ts,tsx}', { cwd: ROOT })) {
    if (path.includes('.test.') || path.includes('/test/') || path.startsWith('libs/testkit/')) continue;
    const searches = textSearches(await readFile(join(ROOT, path), 'utf8'));
    if (path in ALLOWED && searches.length > 0) allowed.add(path);
    else found.push(...searches.map((statement) => `${path}: ${statement}`));
  }
  expect(found).toEqual([]);
  expect([...allowed].toSorted(), 'those that need the exception').toEqual(Object.keys(ALLOWED).toSorted());
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
])('the search for it leaves %j alone', (source) => {
  expect(textSearches(source)).toEqual([]);
});
