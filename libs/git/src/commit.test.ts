import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CommitSha } from '@floe/model';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { LAST_SECOND, parseCommit, signedParts } from './commit.ts';

const EMPTY_TREE = '4b825dc642cb6eb9a060e54bf8d69288fbee4904';
const SHA = 'a'.repeat(40) as CommitSha;
const env = { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1' };

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'floe-commits-'));
  git(['init', '--quiet', '--bare']);
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function git(args: readonly string[], input?: Buffer | string): Buffer {
  const { status, stdout, stderr } = spawnSync('git', args, { cwd: dir, env, ...(input !== undefined && { input }), maxBuffer: 64 * 1024 ** 2 });
  if (status !== 0) throw new Error(String(stderr));
  return stdout;
}

interface CommitParts {
  readonly author?: string;
  readonly committer?: string;
  readonly headers?: string;
  readonly message?: string;
}

function commitText({ author = 'A <a@b> 1 +0000', committer = author, headers = '', message = 'subject\n' }: CommitParts): Buffer {
  return Buffer.from(`tree ${EMPTY_TREE}\nauthor ${author}\ncommitter ${committer}\n${headers}\n${message}`);
}

const text = fc.string({ unit: fc.constantFrom('a', 'B', 'ü', '世', ' ', '.', '-', '"', '@'), maxLength: 12 });
const piece = fc.oneof({ weight: 4, arbitrary: text }, fc.constantFrom('<', '>', '<>', '\t', '  '));
const date = fc.oneof(
  { weight: 3, arbitrary: fc.nat().map(String) },
  fc.constantFrom('', '@1', '-1000', '99999999999999999', '1e3', 'NaN', '253402300800', '0', '007', '0x10', '999999999999999999999999999999', '١'),
);
const zone = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(' +0000', ' -1130', ' +9999') },
  fc.constantFrom('', ' ', ' UTC', '+0000', ' +', ' +1 x'),
);
const ident = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.tuple(text, fc.constantFrom(' <', '<', '  <'), text, fc.constantFrom('> ', '>', '>  '), date, zone).map((parts) => parts.join('')),
  },
  fc.tuple(fc.array(piece, { maxLength: 8 }), date, zone).map(([parts, when, where]) => `${parts.join('')}${when}${where}`),
);
const paragraph = fc
  .array(fc.string({ unit: fc.constantFrom('a', 'ö', ' ', '\t', 'x'), maxLength: 20 }), { maxLength: 5 })
  .map((lines) => lines.join('\n'));
const headers = fc.constantFrom(
  '',
  'gpgsig -----BEGIN\n committer X <x@y> 5 +0000\n \n end\n',
  'mergetag object 1\n author Z <z@z> 9 +0000\n',
  'x\n',
  'encoding UTF-8\n',
  'encoding none-such\n',
);

it('reads generated commits as git reads them', () => {
  const commits = fc.sample(fc.record({ author: ident, committer: ident, headers, message: paragraph }), { numRuns: 150, seed: 20261128 });
  const bodies = commits.map((commit) => commitText(commit));
  const ids = bodies.map((body) => git(['hash-object', '-t', 'commit', '--literally', '-w', '--stdin'], body).toString().trim());
  const shown = git(['log', '--no-walk=unsorted', '--stdin', '--format=%an%x01%ae%x01%ct%x01%s%x02'], `${ids.join('\n')}\n`).toString('utf8');
  const expected = new Map(
    [...new Set(ids)].map((id, index) => {
      const [name = '', mail = '', seconds = '', subject = ''] = (shown.split('\u0002')[index] ?? '').replace(/^\n/, '').split('\u0001');
      return [id, { name, mail, seconds, subject }];
    }),
  );
  const harmless = (given: string): string => given.replaceAll('\t', '\uFFFD').trim();
  bodies.forEach((body, index) => {
    const commit = parseCommit(SHA, body);
    const shownByGit = expected.get(ids[index] ?? '');
    const seen = {
      name: commit.authorName,
      mail: commit.authorEmail,
      seconds: commit.committerSeconds === undefined ? '' : String(commit.committerSeconds),
      subject: commit.subject.replaceAll(/\s+/g, ' '),
    };
    const said = shownByGit && {
      name: harmless(shownByGit.name),
      mail: harmless(shownByGit.mail),
      seconds: shownByGit.seconds === '' ? '' : String(Number(shownByGit.seconds)),
      subject: harmless(shownByGit.subject).replaceAll(/\s+/g, ' '),
    };
    expect(seen, body.toString()).toEqual(said);
  });
});

it('accepts any bytes after the tree, and makes them safe to store and show', () => {
  const rest = fc.oneof(
    fc.uint8Array({ maxLength: 400 }).map((bytes) => Buffer.from(bytes)),
    fc.tuple(ident, ident, headers, fc.string({ unit: 'binary', maxLength: 400 })).map(([author, committer, more, message]) => {
      return commitText({ author, committer, headers: more, message }).subarray(46);
    }),
  );
  fc.assert(
    fc.property(rest, (bytes) => {
      const commit = parseCommit(SHA, Buffer.concat([Buffer.from(`tree ${EMPTY_TREE}\n`), bytes]));
      expect(Number.isSafeInteger(commit.committedAt)).toBe(true);
      expect(commit.committedAt).toBeGreaterThanOrEqual(0);
      expect(new Date(commit.committedAt).getUTCFullYear()).toBeLessThanOrEqual(9999);
      for (const shown of [commit.authorName, commit.authorEmail, commit.subject]) {
        expect(shown.length).toBeLessThanOrEqual(200);
        expect(shown.isWellFormed()).toBe(true);
        expect(shown).not.toMatch(/[\p{Cc}\u202A-\u202E\u2066-\u2069]/u);
      }
    }),
    { seed: 7, numRuns: 2_000 },
  );
});

it.each([
  [
    'no space before the mail',
    'Ada<ada@example.org> 1700000000 +0100',
    { name: 'Ada', mail: 'ada@example.org', at: 1_700_000_000_000, problem: false },
  ],
  ['no time zone', 'Ada <ada@example.org> 1700000000', { name: 'Ada', mail: 'ada@example.org', at: 0, problem: true }],
  ['no date', 'Ada <ada@example.org>', { name: 'Ada', mail: 'ada@example.org', at: 0, problem: true }],
  ['no line at all', '', { name: '', mail: '', at: 0, problem: true }],
  ['a date that is none', 'Ada <ada@example.org> NaN +0000', { name: 'Ada', mail: 'ada@example.org', at: 0, problem: true }],
  ['before 1970', 'Ada <ada@example.org> -1000 +0000', { name: 'Ada', mail: 'ada@example.org', at: 0, problem: true }],
  ['too far away', 'Ada <ada@example.org> 99999999999999999 +0000', { name: 'Ada', mail: 'ada@example.org', at: LAST_SECOND * 1000, problem: true }],
  ['the year 10000', 'Ada <ada@example.org> 253402300800 +0000', { name: 'Ada', mail: 'ada@example.org', at: LAST_SECOND * 1000, problem: true }],
  [
    'the last second of 9999',
    'Ada <ada@example.org> 253402300799 +0000',
    { name: 'Ada', mail: 'ada@example.org', at: LAST_SECOND * 1000, problem: false },
  ],
  ['1970', 'Ada <ada@example.org> 0 +0000', { name: 'Ada', mail: 'ada@example.org', at: 0, problem: false }],
])('reads an author with %s', (_what, line, { name, mail, at, problem }) => {
  const commit = parseCommit(SHA, commitText({ author: line }));
  expect(commit).toMatchObject({ authorName: name, authorEmail: mail, committedAt: at, subject: 'subject' });
  expect(commit.problem !== undefined).toBe(problem);
});

it('makes a subject safe that has control characters, is endless or empty', () => {
  const subjectOf = (message: string): string => parseCommit(SHA, commitText({ message })).subject;
  expect(subjectOf('\u001B[2J\u001B]0;owned\u0007fine')).toBe('\uFFFD[2J\uFFFD]0;owned\uFFFDfine');
  expect(subjectOf('a\u202Eb')).toBe('a\uFFFDb');
  expect(subjectOf('x'.repeat(1024 ** 2))).toHaveLength(200);
  expect(subjectOf('🚀'.repeat(1000)).isWellFormed()).toBe(true);
  expect(subjectOf('a\0b')).toBe('a\uFFFDb');
  expect(subjectOf('')).toBe('');
  expect(subjectOf('\n\n\n')).toBe('');
});

it('reads other encodings, and merges', () => {
  const latin = Buffer.from(
    `tree ${EMPTY_TREE}\nparent ${SHA}\nparent ${SHA}\nauthor J\xfcrg <j@x> 5 +0000\ncommitter J\xfcrg <j@x> 5 +0000\nencoding ISO-8859-1\n\nGr\xfcezi\n`,
    'latin1',
  );
  expect(parseCommit(SHA, latin)).toMatchObject({ authorName: 'Jürg', subject: 'Grüezi', parents: [SHA, SHA] });
});

it('refuses what is not a commit, with a reason', () => {
  expect(() => parseCommit(SHA, Buffer.from('author A <a> 1 +0000\n\nx'))).toThrow(/has no tree/);
  expect(() => parseCommit(SHA, Buffer.alloc(0))).toThrow(expect.objectContaining({ code: 'COMMIT_UNREADABLE', retryable: false }));
});

it('takes the signature out, and nothing else, whatever stands around it', () => {
  const line = fc.string({ unit: fc.constantFrom('a', '-', '=', ' ', 'g'), maxLength: 12 });
  const others = fc.constantFrom(
    '',
    'mergetag object 1\n gpgsig x\n tagger Z <z@z> 9 +0000\n',
    'encoding UTF-8\n',
    'gpgsigx y\n gpgsig z\n',
    'gpgsig\n',
  );
  fc.assert(
    fc.property(
      others,
      others,
      fc.array(line, { maxLength: 4 }),
      paragraph,
      fc.constantFrom('gpgsig', 'gpgsig-sha256'),
      (before, after, lines, rest, key) => {
        const message = `subject\n\n${rest}gpgsig in the message\n more\n`;
        const signature = ['-----BEGIN', ...lines].join('\n');
        const header = `${key} ${signature.replaceAll('\n', '\n ')}\n`;
        const plain = commitText({ headers: before + after, message });
        const found = signedParts(commitText({ headers: before + header + after, message }));
        expect(Buffer.from(found.payload).toString()).toBe(plain.toString());
        expect(found.signature).toBe(key === 'gpgsig' ? `${signature}\n` : undefined);
        expect(signedParts(plain)).toEqual({ payload: plain, signature: undefined });
        // Nobody knows which of two would count.
        expect(signedParts(commitText({ headers: header + before + header, message })).signature).toBeUndefined();
      },
    ),
  );
});
