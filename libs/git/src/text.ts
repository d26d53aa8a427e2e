/** What a person wrote into a commit is shown on terminals, pages and commits: one line, of a bounded length, nothing that steers a terminal. */
export function shownText(text: string, maxLength: number): string {
  const line = text
    .slice(0, maxLength * 4)
    .toWellFormed()
    .replaceAll(/[\p{Cc}\p{Zl}\p{Zp}\u061C\u200E\u200F\u202A-\u202E\u2066-\u2069]/gu, '\uFFFD')
    .trim();
  if (line.length <= maxLength) return line;
  // A cut never leaves half a character.
  return `${line.slice(0, maxLength - 1).replace(/[\uD800-\uDBFF]$/, '')}…`;
}
