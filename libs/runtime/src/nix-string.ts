const ESCAPED: Readonly<Record<string, string>> = { '\n': String.raw`\n`, '\r': String.raw`\r` };

/**
 * A Nix string literal in one line: nothing in `text` can end it or start an interpolation. Nix would read a carriage return
 * that is not escaped as a line feed.
 */
export function nixString(text: string): string {
  return `"${text.replaceAll(/["\\$\n\r]/g, (character) => ESCAPED[character] ?? `\\${character}`)}"`;
}
