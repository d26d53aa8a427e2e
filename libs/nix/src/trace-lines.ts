import { posix } from 'node:path';
import { lookOf, type Look } from '@floe/model';

/** They tell whether and as what a path is there. Any other call may read it. */
const LOOKS_ONLY = new Set(['stat', 'lstat', 'newfstatat', 'fstatat64', 'statx', 'access', 'faccessat', 'faccessat2']);
const LISTS = new Set(['getdents', 'getdents64']);

/** A process id, and the call: `123 openat(`, or the rest of one that was interrupted. */
const CALL = /^\d+ +(?:<\.\.\. )?([a-z0-9_]{1,40})/;
/** The name of a file descriptor, or a text. In both, what could end it is escaped. */
const NAME = /<((?:[^<>\\]|\\.)*)>|"((?:[^"\\]|\\.)*)"/g;
const ESCAPE = /\\(?:([0-7]{1,3})|x([0-9a-f]{2})|(.))/g;
const LETTERS: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', v: '\v', f: '\f' };

/**
 * What a line of `strace -y` says that was looked at below the folder `root`, by the paths that the call had. 'unclear': something there, by a name that
 * no path in git has.
 */
export function looksOfLine(line: string, root: string): readonly Look[] | 'unclear' {
  const [, call] = CALL.exec(line) ?? [];
  if (call === undefined) return [];
  const kind = LISTS.has(call) ? 'list' : LOOKS_ONLY.has(call) ? 'kind' : 'read';
  const looks: Look[] = [];
  let folder: string | undefined;
  for (const { 0: whole, 1: descriptor, 2: text, index } of line.matchAll(NAME)) {
    const name = unescaped(descriptor ?? text ?? '');
    if (name === undefined) {
      if (line.includes(root)) return 'unclear';
      continue;
    }
    const isBelowFolder = text !== undefined && folder !== undefined && !name.startsWith('/');
    const path = isBelowFolder ? `${folder}/${name}` : name;
    // A name behind a descriptor's is relative to it: `openat(12</a>, "b"`.
    folder = descriptor !== undefined && line.startsWith(', ', index + whole.length) ? name : undefined;
    if (!path.startsWith('/')) continue;
    const inside = below(path, root);
    if (inside === undefined) continue;
    if (inside.split('/').includes('..')) return 'unclear';
    looks.push(lookOf(kind, inside));
  }
  return looks;
}

function below(path: string, root: string): string | undefined {
  if (path !== root && !path.startsWith(`${root}/`)) return undefined;
  const inside = path.slice(root.length).replaceAll(/\/{1,9}/g, '/');
  if (inside.includes('/../') || inside.endsWith('/..')) return '..';
  return posix.relative('/', posix.normalize(`/${inside}`));
}

/** Undefined: it is not UTF-8, or was cut. */
function unescaped(text: string): string | undefined {
  if (!text.includes('\\')) return text;
  const bytes = Buffer.from(
    text.replaceAll(ESCAPE, (_, octal: string | undefined, hex: string | undefined, letter: string | undefined) => {
      if (octal !== undefined) return String.fromCharCode(Number.parseInt(octal, 8));
      if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16));
      return LETTERS[letter ?? ''] ?? letter ?? '';
    }),
    'latin1',
  );
  const name = bytes.toString('utf8');
  return Buffer.from(name, 'utf8').equals(bytes) ? name : undefined;
}
