import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');
const FILES = globSync('{apps,libs,bench,docs,examples,nix,scripts,tests}/**/*.{ts,tsx,md,nix,sh}', {
  cwd: ROOT,
  exclude: (name) => /node_modules|dist/.test(name),
});
/** Beside the folders above. */
const AT_THE_TOP = ['README.md', 'CONTRIBUTING.md', 'flake.nix', 'vitest.config.ts'];
/** What the glossary says not to say. */
const NOT_SAID = /(?<=^\| .*)\bnot ".*"/;
/** Names the words itself. */
const EXEMPT = new Set(['scripts/testing/plain-words.test.ts']);

/**
 * Words and phrases that a reader stops at, each with plain ones. Extend the list when a review finds another of the kind:
 * archaic or literary words, personification, and inverted sentences.
 */
const PLAIN: readonly (readonly [RegExp, string])[] = [
  [/\banew\b/i, 'again, or a verb with re-'],
  [/\bfor good\b/i, 'permanently'],
  [/\bfor ever\b/i, 'forever, without limit'],
  [
    /\b(?:hence|thus|whence|thereof|thereby|wherein|whereupon|whilst|lest|albeit|betwixt|hither|thither|henceforth|nigh)\b/i,
    'so, then, where, although',
  ],
  [/\b(?:put|puts|putting) (?:it |itself |them |themselves )?back\b/i, 'roll back; restore; move back'],
  [/\b(?:let|lets|letting) (?:it |them |him |someone |somebody )?(?:back )?in\b(?! the)/i, 'accept, admit'],
  [/\b(?:is|are|was|were) not? to be had\b|\bto be had\b/i, 'available, found'],
  [/\b(?:fight|fights|fought) (?:over|it|them)\b/i, 'compete for; undo'],
  [/\b(?:speaks?|spoke) (?:out of turn|for itself)\b/i, 'breaks the protocol'],
  [/\b(?:wants?|has) no more of (?:it|them)\b/i, 'stops reading'],
  [/\bwithout a word\b/i, 'without a message'],
  [/\btakes? (?:it|them) at (?:its|their) word\b/i, 'trusts'],
  [/\bhas (?:its|their) own word\b|\bhas its word on\b/i, 'decides'],
  [/\bcame? of (?:it|them|this)\b/i, 'the result'],
  [/\bsince \d+ s ago\b/i, 'for … s'],
  [/\bwithout a release of it\b/i, 'without a release'],
  [/\bhostile hands\b|\bnasty hands\b/i, 'attackers'],
  [/\b(?:is|are) to be told\b/i, 'is sent, is announced'],
  // `for (const each of before)` is code.
  [/(?<!const \w+ |\} )\bof before\b(?![.()])/i, 'earlier; from before …'],
  [/\b(?:come|comes|came) to an end by (?:itself|themselves)\b/i, 'ends, finishes'],
];

interface Finding {
  readonly place: string;
  readonly found: string;
  readonly instead: string;
}

function findIn(file: string, text: string): readonly Finding[] {
  const lines = text.split('\n');
  return PLAIN.flatMap(([pattern, instead]) =>
    lines.flatMap((line, index) => {
      const found = pattern.exec(line.replace(NOT_SAID, ''))?.[0];
      return found === undefined ? [] : [{ place: `${file}:${index + 1}`, found, instead }];
    }),
  );
}

/** What people read: docs, and the texts in the code of the commands, the page, the API, the notifications and the statuses. */
const FOR_PEOPLE =
  /^(?:README|docs\/|examples\/|libs\/(?:views|notify)\/|apps\/(?:cli|dashboard|agent)\/src\/|apps\/server\/src\/(?:routes|rollouts|openapi|notifications)\/)/;
const QUOTED = /'[^'\n]*'|"[^"\n]*"|`[^`\n]*`/g;

/** Texts of a line: all of a line of Markdown; in code the quoted ones of more than one word, without what is inserted into them. */
function textsOf(file: string, line: string): readonly string[] {
  if (file.endsWith('.md')) return [line];
  if (/^\s*(?:\/\*|\*|\/\/)/.test(line)) return [];
  return [...line.matchAll(QUOTED)].map(([text]) => text.replaceAll(/\$\{[^}]*\}/g, '')).filter((text) => text.trim().includes(' '));
}

/** "freeze" is the code's name of a person's pause. */
function freezesIn(file: string, text: string): readonly string[] {
  return text
    .split('\n')
    .filter((line) => textsOf(file, line).some((each) => /\b(?:un)?fr(?:ee|o)z(?:e|es|en|ing)\b(?!\.[a-z])/i.test(each)))
    .map((line) => `${file}: ${line.trim()}`);
}

describe('what people read', () => {
  it('says pause and resume, never freeze', () => {
    const files = [...FILES, 'README.md'].filter((file) => FOR_PEOPLE.test(file) && !file.includes('.test.'));
    expect(files.length).toBeGreaterThan(200);
    expect(files.flatMap((file) => freezesIn(file, readFileSync(join(ROOT, file), 'utf8')))).toEqual([]);
  });

  it.each([
    ['a.ts', 'return `${pause.by} froze the fleet: ${pause.reason}`;'],
    ['a.ts', "answers('freezes all rollouts', RolloutAnswer)"],
    ['a.md', 'Nothing goes out while the fleet is frozen.'],
  ])('the search finds it in %s: %s', (file, text) => {
    expect(freezesIn(file, text)).toHaveLength(1);
  });
});

describe('comments, names, messages and docs', () => {
  it('use plain words', () => {
    expect(FILES.length).toBeGreaterThan(500);
    const findings = [...FILES, ...AT_THE_TOP]
      .filter((file) => !EXEMPT.has(file))
      .flatMap((file) => findIn(file, readFileSync(join(ROOT, file), 'utf8')));
    expect(findings.map(({ place, found, instead }) => `${place}: "${found}": ${instead}`)).toEqual([]);
  });

  it.each([
    'the database is made anew',
    'a host that failed for good',
    'a system that it put back',
    'whoever is let in may stay',
    'the commands are not to be had on this machine',
    'left out without a word',
    'what came of it is written',
    'the host is to be told again',
    'deletes entries of before',
    'the newest that came to an end by itself',
  ])('the search finds the phrase of: %s', (text) => {
    expect(findIn('x', text)).toHaveLength(1);
  });
});
