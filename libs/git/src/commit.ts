import type { CommitSha } from '@floe/model';
import { toCommitSha } from './commit-sha.ts';
import { gitError } from './errors.ts';
import type { CommitInfo, SignedParts } from './mirror-types.ts';
import { shownText } from './text.ts';

const MAX_NAME_LENGTH = 200;
const MAX_SUBJECT_LENGTH = 200;
/** The subject is searched in this much of the message. */
const MAX_MESSAGE_BYTES = 16 * 1024;
/** Merges have two parents; git's own tools create some with dozens. */
const MAX_PARENTS = 10_000;

/** The last second of the year 9999. Later dates have no standard format. */
export const LAST_SECOND = 253_402_300_799;

/** A commit as git stores it. */
export interface RawCommit extends CommitInfo {
  readonly tree: string;
  /** The committer's time in seconds since 1970, as git parses it; undefined when git cannot. Unbounded. */
  readonly committerSeconds: number | undefined;
}

/**
 * Parses a commit as tolerantly as git does: old tools and attackers write author lines without a space, a time zone or a date,
 * in any encoding. Texts that are shown are made safe here. Only a commit without a tree is refused.
 */
export function parseCommit(sha: CommitSha, bytes: Buffer): RawCommit {
  const end = bytes.indexOf('\n\n');
  const headers = readHeaders(end < 0 ? bytes : bytes.subarray(0, end));
  const message = end < 0 ? Buffer.alloc(0) : bytes.subarray(end + 2, end + 2 + MAX_MESSAGE_BYTES);
  const tree = headers.first('tree')?.toString('latin1') ?? '';
  if (!/^[0-9a-f]{40}$/.test(tree)) throw unreadable(sha, 'it has no tree');
  const parents = headers.all('parent').map((line) => line.toString('latin1'));
  if (parents.some((parent) => !/^[0-9a-f]{40}$/.test(parent))) throw unreadable(sha, 'one of its parents is no commit id');
  if (parents.length > MAX_PARENTS) throw unreadable(sha, `it has more than ${MAX_PARENTS} parents`);
  const decode = decoderOf(headers.first('encoding')?.toString('latin1'));
  const author = parseIdent(headers.first('author') ?? Buffer.alloc(0));
  const committer = parseIdent(headers.first('committer') ?? Buffer.alloc(0));
  return {
    sha,
    tree,
    parents: parents.map(toCommitSha),
    authorName: shownText(decode(author.name), MAX_NAME_LENGTH),
    authorEmail: shownText(decode(author.mail), MAX_NAME_LENGTH),
    committerSeconds: committer.seconds,
    committedAt: 1000 * Math.min(committer.seconds ?? 0, LAST_SECOND),
    subject: shownText(subjectOf(decode(message)), MAX_SUBJECT_LENGTH),
    problem: dateProblem(committer.seconds),
  };
}

/** Nix gives each flake the committer's date (`lastModified`), and fails without a message when git cannot parse it. */
function dateProblem(seconds: number | undefined): string | undefined {
  if (seconds !== undefined && seconds <= LAST_SECOND) return undefined;
  const what = seconds === undefined ? 'git reads no date in its committer line' : 'its committer date is beyond the year 9999';
  return `Nix cannot evaluate this commit: ${what}; set the clock right, rewrite it with "git commit --amend --reset-author" and push`;
}

function unreadable(sha: CommitSha, reason: string): Error {
  return gitError('COMMIT_UNREADABLE', `the commit ${sha} cannot be read: ${reason}; rewrite it with "git commit --amend" and push`, {
    data: { sha, reason },
  });
}

const SIGNATURE_HEADERS: ReadonlySet<string> = new Set(['gpgsig', 'gpgsig-sha256']);

/** Takes a commit apart as git does when it checks a signature. */
export function signedParts(bytes: Buffer): SignedParts {
  const end = bytes.indexOf('\n\n');
  const headerEnd = end < 0 ? bytes.length : end + 1;
  const kept: Buffer[] = [];
  const signatures: { readonly key: string; readonly lines: string[] }[] = [];
  let isSignature = false;
  for (let at = 0; at < headerEnd;) {
    const newline = bytes.indexOf(0x0a, at);
    const next = newline < 0 ? bytes.length : newline + 1;
    const line = bytes.subarray(at, next);
    at = next;
    const isContinued = line[0] === 0x20;
    if (!isContinued) {
      const key = line.toString('latin1', 0, Math.max(0, line.indexOf(0x20)));
      isSignature = SIGNATURE_HEADERS.has(key);
      if (isSignature) signatures.push({ key, lines: [line.toString('latin1', key.length + 1)] });
    } else if (isSignature) signatures.at(-1)?.lines.push(line.toString('latin1', 1));
    if (!isSignature) kept.push(line);
  }
  const [only, ...others] = signatures;
  return {
    payload: Buffer.concat([...kept, bytes.subarray(headerEnd)]),
    signature: only?.key === 'gpgsig' && others.length === 0 ? only.lines.join('') : undefined,
  };
}

interface Headers {
  first(key: string): Buffer | undefined;
  all(key: string): Buffer[];
}

/** The lines before the message. A line that begins with a space continues the previous one (gpgsig, mergetag). */
function readHeaders(bytes: Buffer): Headers {
  const lines: { key: string; value: Buffer }[] = [];
  for (let at = 0; at < bytes.length;) {
    const newline = bytes.indexOf(0x0a, at);
    const line = bytes.subarray(at, newline < 0 ? bytes.length : newline);
    at += line.length + 1;
    const space = line.indexOf(0x20);
    if (space > 0 && space < 20) lines.push({ key: line.toString('latin1', 0, space), value: line.subarray(space + 1) });
  }
  return {
    first: (key) => lines.find((line) => line.key === key)?.value,
    all: (key) => lines.filter((line) => line.key === key).map(({ value }) => value),
  };
}

interface Ident {
  readonly name: Buffer;
  readonly mail: Buffer;
  readonly seconds: number | undefined;
}

const NOTHING = Buffer.alloc(0);

/** `name <mail> seconds zone`, parsed as in git's split_ident_line(): the date comes after the last `>`. */
export function parseIdent(line: Buffer): Ident {
  const open = line.indexOf('<');
  const close = open < 0 ? -1 : line.indexOf('>', open);
  if (close < 0) return { name: NOTHING, mail: NOTHING, seconds: undefined };
  const behind = line.toString('latin1', line.lastIndexOf('>') + 1);
  const date = /^[ \t\n\v\f\r]*(?<seconds>[0-9]+)[ \t\n\v\f\r]*[+-][0-9]+/.exec(behind)?.groups?.['seconds'];
  return { name: line.subarray(0, open), mail: line.subarray(open + 1, close), seconds: date === undefined ? undefined : Number(date) };
}

/** The first paragraph as one line, like `git log --format=%s`. */
function subjectOf(message: string): string {
  const lines = message.split('\n').map((line) => line.trimEnd());
  const start = lines.findIndex((line) => line !== '');
  if (start < 0) return '';
  const length = lines.slice(start).indexOf('');
  return lines.slice(start, length < 0 ? undefined : start + length).join(' ');
}

/** Commits are UTF-8 unless they name another encoding. Invalid bytes become replacement characters. */
function decoderOf(encoding: string | undefined): (bytes: Buffer) => string {
  try {
    const decoder = new TextDecoder(encoding ?? 'utf-8');
    return (bytes) => decoder.decode(bytes);
  } catch {
    return (bytes) => bytes.toString('utf8');
  }
}
