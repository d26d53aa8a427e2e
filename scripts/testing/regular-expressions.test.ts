import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseSync, Visitor } from 'vite';
import { describe, expect, it } from 'vitest';

// Nearly every text in Floe comes from others: commits, builds, hosts, clients. A regular expression that takes quadratic time
// stops the whole process, because there is one thread. Every expression of the shipped code is found in the syntax tree and
// tried on texts derived from it, which repeat its parts and do not match.

const ROOT = join(import.meta.dirname, '../..');
/** Long enough to detect an expression that takes exponential time. */
const TINY = 24;
const SHORT = 2_000;
const LONG = 8_000;
/** A text four times as long may take four times as long, with a margin for a busy machine; quadratic time is sixteen times. */
const MAX_GROWTH = 10;

interface Found {
  readonly file: string;
  readonly pattern: string;
  readonly flags: string;
}

function expressionsIn(file: string): Found[] {
  const found: Found[] = [];
  const { program } = parseSync(file, readFileSync(join(ROOT, file), 'utf8'));
  new Visitor({
    Literal(node) {
      if ('regex' in node) found.push({ file, pattern: node.regex.pattern, flags: node.regex.flags });
    },
  }).visit(program);
  return found;
}

const PIECES = [
  ' ',
  'a',
  'A',
  '0',
  '-',
  '_',
  '/',
  '.',
  ':',
  '=',
  '"',
  "'",
  '\n',
  '\\',
  '@',
  'é',
  '\u0001',
  'a ',
  'a-',
  '-a',
  '/a',
  'a.',
  'a=',
  '0.',
  '"a',
];

/** The repeated parts: pieces of the expression itself, and characters that its classes accept. */
function piecesOf(pattern: string): string[] {
  const plain = pattern.replaceAll(/\\u[0-9a-f]{4}|\\./gi, '');
  const words = plain.match(/[A-Za-z]{2,}/g) ?? [];
  const signs = plain.match(/[^A-Za-z0-9()[\]{}|?*+^$\\]/g) ?? [];
  return [...new Set([...PIECES, ...words, ...words.map((word) => ` ${word}`), ...signs])];
}

function textsFor(pattern: string): ((length: number) => string)[] {
  const start = /^\^?([A-Za-z:/ +-]+)/.exec(pattern.replaceAll(String.raw`\/`, '/'))?.[1] ?? '';
  const heads = [...new Set(['', 'x', start])];
  return piecesOf(pattern).flatMap((piece) =>
    heads.flatMap((head) => ['\u0000', 'x!'].map((tail) => (length: number) => head + piece.repeat(Math.ceil(length / piece.length)) + tail)),
  );
}

/** The minimum of three runs, because other processes use the machine, too. */
function millisecondsFor(expression: RegExp, text: string): number {
  const once = (): number => {
    expression.lastIndex = 0;
    const startedAt = performance.now();
    if (expression.global) text.replace(expression, '');
    else expression.test(text);
    return performance.now() - startedAt;
  };
  return Math.min(once(), once(), once());
}

/** A text on which the expression takes quadratic time; undefined: none was found. */
function findSlowText({ pattern, flags }: Pick<Found, 'pattern' | 'flags'>): string | undefined {
  const expression = new RegExp(pattern, flags);
  for (const text of textsFor(pattern)) {
    if (millisecondsFor(expression, text(TINY)) > 5) return JSON.stringify(text(TINY));
    const shortMs = millisecondsFor(expression, text(SHORT));
    if (shortMs < 0.5) continue;
    const longMs = millisecondsFor(expression, text(LONG));
    if (longMs > 8 && longMs > MAX_GROWTH * shortMs) return JSON.stringify(text(20));
  }
  return undefined;
}

describe('the search itself', () => {
  it.each([/\/+$/, /(\d+)\.(\d+)/, /^(a+)+$/, /^(\w+\s?)*$/])('finds %s', ({ source, flags }) => {
    expect(findSlowText({ pattern: source, flags })).toBeDefined();
  });
});

describe('no regular expression takes quadratic time on foreign text', () => {
  const files = globSync('{apps,libs}/*/src/**/*.{ts,tsx}', { cwd: ROOT }).filter((file) => !/\.test\.ts$|\/test\/|^libs\/testkit\//.test(file));
  const all = files.flatMap((file) => expressionsIn(file));
  const distinct = [...new Map(all.map((each) => [`/${each.pattern}/${each.flags}`, each])).entries()];

  it('there are some', () => expect(distinct.length).toBeGreaterThan(50));
  it.each(distinct)('%s', (_name, found) => {
    expect(findSlowText(found), `in ${found.file}: anchor it, bound it, or do it by hand`).toBeUndefined();
  });
});
