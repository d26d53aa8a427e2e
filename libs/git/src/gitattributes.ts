/** A line of a .gitattributes file that sets or unsets a filter. */
interface FilterRule {
  readonly matches: (path: string, effort: Effort) => boolean;
  readonly isFiltered: boolean;
}

/** Steps that are left for all patterns and paths of a commit together. */
interface Effort {
  steps: number;
}

const MAX_RULES = 1_000;
const MAX_PATTERN_LENGTH = 500;
/** About a tenth of a second. A real repository takes some thousands: a hundred files, ten patterns, a few steps each. */
const MAX_STEPS = 20_000_000;

/**
 * Says of a path whether git would have passed its content through a filter (git-crypt, transcrypt, git-agecrypt).
 * `folder` is where each file lies; a file further down goes before one further up, as in gitattributes(5). Undefined when
 * the patterns took too many steps: the repository chooses both patterns and paths.
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
        effort.steps -= 1;
        if (!path.startsWith(inFolder)) return false;
        const below = path.slice(inFolder.length);
        return matcher(isAnchored ? below : below.slice(below.lastIndexOf('/') + 1), effort);
      },
    },
  ];
}

/** `*` and `?` within a name, `**` across names. Matched step by step: a regular expression could take for ever. */
function globMatcher(pattern: string): (text: string, effort: Effort) => boolean {
  return (text, effort) => {
    let from = 0;
    let at = 0;
    // Where to go on when what follows the last star of each kind does not fit.
    let narrow: { readonly next: number; at: number } | undefined;
    let wide: { readonly next: number; at: number } | undefined;
    while (at < text.length) {
      effort.steps -= 1;
      if (effort.steps <= 0) return false;
      const char = pattern[from];
      if (char === '*' && pattern[from + 1] === '*') {
        from += pattern[from + 2] === '/' ? 3 : 2;
        wide = { next: from, at };
        narrow = undefined;
      } else if (char === '*') {
        from += 1;
        narrow = { next: from, at };
      } else if (char !== undefined && (char === text[at] || (char === '?' && text[at] !== '/'))) {
        from += 1;
        at += 1;
      } else if (narrow !== undefined && text[narrow.at] !== '/') {
        narrow.at += 1;
        at = narrow.at;
        from = narrow.next;
      } else if (wide !== undefined) {
        wide.at += 1;
        at = wide.at;
        from = wide.next;
        narrow = undefined;
      } else {
        return false;
      }
    }
    while (pattern[from] === '*') from += 1;
    return from === pattern.length;
  };
}
