import { matchesGlob } from './rollout/glob.ts';

/** What a pattern of ignored files may be: see `ignores()`. */
export const IGNORE_RULE =
  'patterns of paths from the root of the repository, such as docs/**, **/*.md or .github/**: * stands for a part of a name, ** for any folders';
const MAX_PATTERNS = 100;
const MAX_CHARACTERS = 200;
/** Each may stand for any number of folders, so few are enough. */
const MAX_FOLDERS = 3;

/** The patterns in a list with commas or spaces between; undefined: one of them is not a pattern. */
export function parseIgnored(text: string): readonly string[] | undefined {
  const patterns = text.split(/[\s,]+/).filter((pattern) => pattern !== '');
  return patterns.length <= MAX_PATTERNS && patterns.every(isPattern) ? patterns : undefined;
}

function isPattern(pattern: string): boolean {
  const parts = pattern.split('/');
  const isPart = (part: string): boolean => part !== '' && part !== '.' && part !== '..' && (part === '**' || !part.includes('**'));
  return pattern.length <= MAX_CHARACTERS && parts.every(isPart) && parts.filter((part) => part === '**').length <= MAX_FOLDERS;
}

/** Whether one of the patterns is about the file: a whole path from the root. A folder has no path of its own, but those of its files. */
export function ignores(patterns: readonly string[], path: string): boolean {
  const parts = path.split('/');
  return patterns.some((pattern) => matches(pattern.split('/'), parts));
}

function matches(pattern: readonly string[], path: readonly string[]): boolean {
  const [first, ...rest] = pattern;
  if (first === undefined) return path.length === 0;
  const [name, ...below] = path;
  if (first !== '**') return name !== undefined && matchesGlob(first, name) && matches(rest, below);
  // At the end it stands for at least the file's own name.
  if (rest.length === 0) return name !== undefined;
  return path.some((_, index) => matches(rest, path.slice(index)));
}
