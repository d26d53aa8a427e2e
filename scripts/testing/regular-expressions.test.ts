import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseSync, Visitor } from 'vite';
import { describe, expect, it } from 'vitest';

// Nearly every text in Floe comes from others: commits, builds, hosts, clients. A regular expression that takes quadratic time
// stops the whole process, because there is one thread. Every expression of the shipped code is found and tried on texts derived
// from it, which repeat its parts and do not match. Literals are found in the syntax tree; what `RegExp` makes of texts is noted
// while its module is loaded.

const ROOT = join(import.meta.dirname, '../..');
/** Long enough to detect an expression that takes exponential time. */
const TINY = 24;
/** Shorter ones tell first; one that repeats a long part needs the longer ones to take time that can be measured. */
const LENGTHS = [2_000, 8_000];
/** A text four times as long may take four times as long; quadratic time is sixteen times. */
const MAX_GROWTH = 10;
/** On a busy machine a clock may say less for quadratic time. */
const SUSPECT_GROWTH = 5;
/** So much CPU is enough to measure. */
const CPU_MS = 40;
/** The garbage collector runs on this thread, too, and makes one measurement many times as long: what is quadratic is so in each. */
const MEASURED = [1, 2, 3];

interface Found {
  readonly file: string;
  readonly pattern: string;
  readonly flags: string;
}

interface InFile {
  readonly literals: readonly Found[];
  /** Where `RegExp` makes one: file and line. */
  readonly made: readonly string[];
}

function expressionsIn(file: string, text: string): InFile {
  const literals: Found[] = [];
  const made: string[] = [];
  const note = ({ callee, start }: { readonly callee: object; readonly start: number }): void => {
    if ('name' in callee && callee.name === 'RegExp') made.push(`${file}:${text.slice(0, start).split('\n').length}`);
  };
  new Visitor({
    Literal(node) {
      if ('regex' in node) literals.push({ file, pattern: node.regex.pattern, flags: node.regex.flags });
    },
    NewExpression: note,
    CallExpression: note,
  }).visit(parseSync(file, text).program);
  return { literals, made };
}

/** Loads modules, and returns what `RegExp` makes in them meanwhile, by file and line. */
async function madeWhileLoading(modules: readonly string[]): Promise<ReadonlyMap<string, readonly Found[]>> {
  const made = new Map<string, Found[]>();
  const note = (expression: RegExp): RegExp => {
    const [, file = '', line] = /((?:apps|libs)\/[^:\n]*):(\d+):/.exec(new Error('here').stack ?? '') ?? [];
    const place = `${file}:${line}`;
    made.set(place, [...(made.get(place) ?? []), { file, pattern: expression.source, flags: expression.flags }]);
    return expression;
  };
  const original = globalThis.RegExp;
  globalThis.RegExp = new Proxy(original, {
    construct: (target, args, newTarget) => note(Reflect.construct(target, args, newTarget) as RegExp),
    apply: (target, self, args) => note(Reflect.apply(target, self, args) as RegExp),
  });
  try {
    for (const each of modules) await import(join(ROOT, each));
  } finally {
    globalThis.RegExp = original;
  }
  return made;
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
  return [...new Set([...PIECES, ...words, ...words.map((word) => ` ${word}`), ...signs, beginningOf(pattern)])].filter((piece) => piece !== '');
}

/** The shortest text that an expression begins with: `call(x)` of `\bcall\s*\(x\)[^;]*`. */
function beginningOf(pattern: string): string {
  const shortest = pattern.replaceAll(/(?<!\\)\([^()]*\)[?*]|\\[bsw][*+]?|^\^/g, '');
  return (/^(?:[^\\[\](){}|?*+.^$]|\\[^A-Za-z0-9])*/.exec(shortest)?.[0] ?? '').replaceAll('\\', '');
}

function textsFor(pattern: string): ((length: number) => string)[] {
  const start = /^\^?([A-Za-z:/ +-]+)/.exec(pattern.replaceAll(String.raw`\/`, '/'))?.[1] ?? '';
  const heads = [...new Set(['', 'x', start])];
  return piecesOf(pattern).flatMap((piece) =>
    heads.flatMap((head) => ['\u0000', 'x!'].map((tail) => (length: number) => head + piece.repeat(Math.ceil(length / piece.length)) + tail)),
  );
}

function run(expression: RegExp, text: string): void {
  expression.lastIndex = 0;
  if (expression.global) text.replace(expression, '');
  else expression.test(text);
}

/** The minimum of three runs, because other processes use the machine, too. */
function millisecondsFor(expression: RegExp, text: string): number {
  const once = (): number => {
    const startedAt = performance.now();
    run(expression, text);
    return performance.now() - startedAt;
  };
  return Math.min(once(), once(), once());
}

/** What this thread alone computes for one run. It is counted in steps of a few milliseconds, so the runs take many of them. */
function cpuMsFor(expression: RegExp, text: string): number {
  const begun = process.threadCpuUsage();
  for (let runs = 1; ; runs += 1) {
    run(expression, text);
    const { user, system } = process.threadCpuUsage(begun);
    const usedMs = (user + system) / 1_000;
    if (usedMs >= CPU_MS) return usedMs / runs;
  }
}

/** A text on which the expression takes quadratic time; undefined: none was found. The clock says which to suspect, the CPU decides. */
function findSlowText({ pattern, flags }: Pick<Found, 'pattern' | 'flags'>): string | undefined {
  const expression = new RegExp(pattern, flags);
  const growth = (msFor: typeof cpuMsFor, short: string, long: string): number => msFor(expression, long) / msFor(expression, short);
  for (const text of textsFor(pattern)) {
    if (millisecondsFor(expression, text(TINY)) > 5 && cpuMsFor(expression, text(TINY)) > 5) return JSON.stringify(text(TINY));
    for (const length of LENGTHS) {
      const [short, long] = [text(length), text(4 * length)];
      if (millisecondsFor(expression, short) < 0.5) continue;
      const isSuspect = growth(millisecondsFor, short, long) > SUSPECT_GROWTH;
      if (isSuspect && MEASURED.every(() => growth(cpuMsFor, short, long) > MAX_GROWTH)) return JSON.stringify(text(20));
    }
  }
  return undefined;
}

describe('the search itself', () => {
  it.each([/\/+$/, /(\d+)\.(\d+)/, /^(a+)+$/, /^(\w+\s?)*$/, /\bcall\s*\(\s*(?:a\s*\.\s*)?x\s*\)[^;]*\bend\b/])('finds %s', ({ source, flags }) => {
    expect(findSlowText({ pattern: source, flags })).toBeDefined();
  });
});

const files = globSync('{apps,libs}/*/src/**/*.{ts,tsx}', { cwd: ROOT }).filter((file) => !/\.test\.ts$|\/test\/|^libs\/testkit\//.test(file));
const inFiles = files.map((file) => expressionsIn(file, readFileSync(join(ROOT, file), 'utf8')));
const places = inFiles.flatMap(({ made }) => made);
const made = await madeWhileLoading([...new Set(places.map((place) => place.split(':')[0] ?? ''))]);
const all = [...inFiles.flatMap(({ literals }) => literals), ...places.flatMap((place) => made.get(place) ?? [])];

describe('no regular expression takes quadratic time on foreign text', () => {
  const distinct = [...new Map(all.map((each) => [`/${each.pattern}/${each.flags}`, each])).entries()];

  it('there are some', () => expect(distinct.length).toBeGreaterThan(50));
  it('each is a literal, or made while its module is loaded', () => expect(places.filter((place) => !made.has(place))).toEqual([]));
  it.each(distinct)('%s', (_name, found) => {
    expect(findSlowText(found), `in ${found.file}: anchor it, bound it, or do it by hand`).toBeUndefined();
  });
});
