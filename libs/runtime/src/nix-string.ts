const ESCAPED: Readonly<Record<string, string>> = { '\n': String.raw`\n`, '\r': String.raw`\r` };

/**
 * A Nix string literal on one line: nothing in `text` ends it or starts an interpolation. Nix would read an unescaped carriage
 * return as a line feed.
 */
export function nixString(text: string): string {
  return `"${text.replaceAll(/["\\$\n\r]/g, (character) => ESCAPED[character] ?? `\\${character}`)}"`;
}
