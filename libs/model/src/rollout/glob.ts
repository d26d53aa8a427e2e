const STAR = '*';
const ONE = '?';

/** Whether a pattern of the policy has wildcards. Without, it is a name. */
export function isGlob(pattern: string): boolean {
  return pattern.includes(STAR) || pattern.includes(ONE);
}

/**
 * Whether `pattern` matches all of `text`: `*` is any text, `?` any one character. Foreign patterns are safe: only the last `*`
 * is ever tried again, so the time is at most the product of both lengths. A regular expression would take exponential time.
 */
export function matchesGlob(pattern: string, text: string): boolean {
  let at = 0;
  let inText = 0;
  let lastStar = -1;
  let afterStar = 0;
  while (inText < text.length) {
    if (pattern[at] === STAR) {
      lastStar = at;
      afterStar = inText;
      at += 1;
    } else if (at < pattern.length && (pattern[at] === ONE || pattern[at] === text[inText])) {
      at += 1;
      inText += 1;
    } else if (lastStar === -1) {
      return false;
    } else {
      // The last star takes one character more.
      at = lastStar + 1;
      afterStar += 1;
      inText = afterStar;
    }
  }
  while (pattern[at] === STAR) at += 1;
  return at === pattern.length;
}
