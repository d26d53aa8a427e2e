import { globSync, readFileSync } from 'node:fs';
import { dirname, join, matchesGlob, normalize } from 'node:path';
import { describe, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');
const DOCS = ['README.md', 'CONTRIBUTING.md', 'libs/model/SPEC.md', ...globSync('docs/*.md', { cwd: ROOT })];
/** A path from the root of the repository, in backticks; braces and `*` stand for several. */
const PATH = /`((?:apps|libs|tests|scripts|nix|docs|examples|bench|migrations)\/[^`\s]*)`/g;
/** A source file by the end of its path: `judge-stage.test.ts`, `agents/{greeter,session}.ts`. */
const SOURCE = /`(\w[\w{},*./-]*\.tsx?)`/g;
/** A link of Markdown to a file of the repository or a heading; group 1 is its target. */
const LINK = /\]\((?![a-z]+:|\[)([^)\s]+)\)/g;

/** How messages and comments name a heading: `docs/operate.md, "Changing keys"`. */
const NAMED_HEADING = /\b(docs\/[a-z-]+\.md), \\?"([^"\\]+)\\?"/g;

const read = (doc: string) => readFileSync(join(ROOT, doc), 'utf8');

/** The anchors that forges make for the headings of a file: lower case, spaces as dashes, no punctuation; again with a number when repeated. */
function anchorsOf(text: string): ReadonlySet<string> {
  const seen = new Map<string, number>();
  const isCode = (index: number) => (text.slice(0, index).match(/^```/gm) ?? []).length % 2 === 1;
  const headings = [...text.matchAll(/^#{1,6} (.+)$/gm)].filter(({ index }) => !isCode(index));
  return new Set(
    headings.map(([, heading = '']) => {
      const anchor = heading
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
        .replaceAll(' ', '-');
      const times = seen.get(anchor) ?? 0;
      seen.set(anchor, times + 1);
      return times === 0 ? anchor : `${anchor}-${times}`;
    }),
  );
}

describe('the docs', () => {
  it('name files that exist', () => {
    const named = DOCS.flatMap((doc) => [...read(doc).matchAll(PATH)].map(([, path = '']) => ({ doc, path })));
    expect(named.length).toBeGreaterThan(100);
    // NAME stands for a name that the reader chooses; `nix/fleet` is a folder of the example in its sentence.
    const missing = named.filter(({ path }) => !path.includes('NAME') && path !== 'nix/fleet' && globSync(path, { cwd: ROOT }).length === 0);
    expect(missing.map(({ doc, path }) => `${doc}: ${path}`)).toEqual([]);
  });

  it('name source files that exist, also without their folder', () => {
    const isOfOthers = (name: string) => name === 'node_modules' || name === 'dist';
    const sources = globSync('{apps,libs,tests,scripts,bench,nix}/**/*.{ts,tsx}', { cwd: ROOT, exclude: isOfOthers }).map((file) => `/${file}`);
    const named = DOCS.flatMap((doc) => [...read(doc).matchAll(SOURCE)].map(([, path = '']) => ({ doc, path })));
    expect(named.length).toBeGreaterThan(100);
    const exists = (path: string): boolean => {
      const [, before = '', names = '', after = ''] = /^([^{]*)\{([^}]*)\}(.*)$/.exec(path) ?? [];
      if (names !== '') return names.split(',').every((name) => exists(`${before}${name}${after}`));
      return sources.some((file) => (path.includes('*') ? matchesGlob(file, `/**/${path}`) : file.endsWith(`/${path}`)));
    };
    const missing = named.filter(({ path }) => !path.includes('NAME') && !exists(path));
    expect(missing.map(({ doc, path }) => `${doc}: ${path}`)).toEqual([]);
  });

  it('link to files and headings that exist', () => {
    const links = DOCS.flatMap((doc) => [...read(doc).matchAll(LINK)].map(([, target = '']) => ({ doc, target })));
    expect(links.length).toBeGreaterThan(50);
    const broken = links.filter(({ doc, target }) => {
      const [path = '', anchor] = target.split('#');
      const file = path === '' ? doc : normalize(join(dirname(doc), path));
      if (globSync(file, { cwd: ROOT }).length === 0) return true;
      return anchor !== undefined && !anchorsOf(read(file)).has(anchor);
    });
    expect(broken.map(({ doc, target }) => `${doc}: ${target}`)).toEqual([]);
  });

  it('say of each code that floe status prints what to do', () => {
    const ofRepository = [...read('libs/git/src/errors.ts').matchAll(/^ {2}'([A-Z_]+)',$/gm)];
    const tellers = globSync('apps/server/src/**/*.ts', { cwd: ROOT })
      .filter((file) => !file.includes('.test.'))
      .map(read)
      .filter((text) => /\btellNotice\(|\bnotices\.(?:set|tell)\(/.test(text));
    const ofServer = tellers.flatMap((text) => [...text.matchAll(/'([A-Z]+(?:_[A-Z]+)+)'/g)]);
    const codes = new Set([...ofRepository, ...ofServer].map(([, code = '']) => code));
    expect(codes.size).toBeGreaterThan(20);
    const incidents = read('docs/incidents.md');
    expect([...codes].filter((code) => !incidents.includes(`\`${code}\``))).toEqual([]);
  });

  it('have the headings to which messages point', () => {
    const sources = globSync('{apps,libs,nix,scripts}/**/*.{ts,tsx,nix}', {
      cwd: ROOT,
      exclude: (name) => name === 'node_modules' || name === 'dist',
    });
    const named = sources.flatMap((file) => [...read(file).matchAll(NAMED_HEADING)].map(([, doc = '', heading = '']) => ({ file, doc, heading })));
    expect(named.length).toBeGreaterThan(5);
    const headings = (doc: string): readonly string[] => [...read(doc).matchAll(/^#{1,6} (.+)$/gm)].map(([, heading = '']) => heading);
    expect(named.filter(({ doc, heading }) => !headings(doc).includes(heading))).toEqual([]);
  });
});
