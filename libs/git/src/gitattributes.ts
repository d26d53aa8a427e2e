/** A line of a .gitattributes file that sets or unsets a filter. */
interface FilterRule {
  readonly matches: (path: string, effort: Effort) => boolean;
  readonly isFiltered: boolean;
}

/** The number of steps left for all patterns and paths of a commit together. */
interface Effort {
  steps: number;
}

const MAX_RULES = 1_000;
const MAX_PATTERN_LENGTH = 500;
/** About a tenth of a second. A real repository takes thousands: a hundred files, ten patterns, a few steps each. */
const MAX_STEPS = 20_000_000;

/**
 * Whether git passes the content of a path through a filter (git-crypt, transcrypt, git-agecrypt). `folder` is the folder of each
 * attributes file; a deeper file takes precedence, as in gitattributes(5). Undefined when the patterns took too many steps: the
 * repository chooses both patterns and paths.
 */
export function readFilters(files: readonly { readonly folder: string; readonly text: string }[]): (path: string) => boolean | undefined {
  const effort: Effort = { steps: MAX_STEPS };
  const outermostFirst = files.toSorted((a, b) => a.folder.length - b.folder.length);
  const rules = outermostFirst.flatMap(({ folder, text }) => text.split('\n').flatMap((line) => parseLine(folder, line))).slice(0, MAX_RULES);
  return (path) => {
    const rule = rules.findLast(({ matches }) => effort.steps > 0 && matches(path, effort));
    return effort.steps > 0 ? (rule?.isFiltered ?? false) : undefined;
  };
}

function parseLine(folder: string, line: string): FilterRule[] {
  const [pattern = '', ...attributes] = line.trim().split(/\s+/);
  if (pattern === '' || pattern.startsWith('#') || pattern.startsWith('[') || pattern.length > MAX_PATTERN_LENGTH) return [];
  const filter = attributes.findLast((each) => /^[-!]?filter(?:=|$)/.test(each));
  if (filter === undefined) return [];
  const inFolder = folder === '' ? '' : `${folder}/`;
  const isAnchored = pattern.replace(/\/$/, '').includes('/');
  const matcher = globMatcher(pattern.replace(/^\//, ''));
  return [
    {
      isFiltered: filter.startsWith('filter='),
      matches(path, effort) {
        // Splitting a long path counts as steps, too.
        effort.steps -= 1 + (path.length >> 3);
        if (!path.startsWith(inFolder)) return false;
        const below = path.slice(inFolder.length);
        return matcher(isAnchored ? below : below.slice(below.lastIndexOf('/') + 1), effort);
      },
    },
  ];
}

/** A pattern with the semantics of git's wildmatch for paths. Matched step by step, because a regular expression could take exponential time. */
function globMatcher(pattern: string): (path: string, effort: Effort) => boolean {
  const names = pattern.split('/');
  return (path, effort) => matchesNames(names, path.split('/'), effort);
}

/** `**` matches any number of folders; at the end, everything below. */
function matchesNames(pattern: readonly string[], names: readonly string[], effort: Effort): boolean {
  let [from, at] = [0, 0];
  // Only the last `**` needs backtracking: what came before it matches, wherever the next part begins.
  let wide: { readonly next: number; at: number } | undefined;
  while (at < names.length) {
    if (pattern[from] === '**') {
      if (from === pattern.length - 1) return true;
      wide = { next: from + 1, at };
      from += 1;
    } else if (from < pattern.length && matchesName(pattern[from] ?? '', names[at] ?? '', effort)) {
      from += 1;
      at += 1;
    } else if (wide !== undefined) {
      wide.at += 1;
      at = wide.at;
      from = wide.next;
    } else {
      return false;
    }
    effort.steps -= 1;
    if (effort.steps <= 0) return false;
  }
  return from === pattern.length;
}

/** `*` and `?` within a name; `**` beside other characters acts as one `*`. */
function matchesName(pattern: string, name: string, effort: Effort): boolean {
  let [from, at] = [0, 0];
  let star: { readonly next: number; at: number } | undefined;
  while (at < name.length) {
    if (pattern[from] === '*') {
      from += 1;
      star = { next: from, at };
    } else if (from < pattern.length && (pattern[from] === '?' || pattern[from] === name[at])) {
      from += 1;
      at += 1;
    } else if (star !== undefined) {
      star.at += 1;
      at = star.at;
      from = star.next;
    } else {
      return false;
    }
    effort.steps -= 1;
    if (effort.steps <= 0) return false;
  }
  while (pattern[from] === '*') from += 1;
  return from === pattern.length;
}
